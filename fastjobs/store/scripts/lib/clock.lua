-- The server's clock: milliseconds and microseconds since 1970. Every decision is made by this clock.
local function server_clock()
  local time = redis.call('TIME')
  local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
  return math.floor(now_us / 1000), now_us
end
