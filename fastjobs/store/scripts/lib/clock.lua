-- The server's clock, in milliseconds and in microseconds since 1970. Scripts decide by this clock only.
local function server_clock()
  local time = redis.call('TIME')
  local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
  return math.floor(now_us / 1000), now_us
end
