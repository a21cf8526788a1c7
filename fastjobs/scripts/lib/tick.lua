-- Notes that the server and a worker were alive at `now_ms`. A gap longer than half a lease means that
-- renewals could not get through (outage, frozen server, clock jump), so for one lease nothing is
-- reclaimed: otherwise an outage would requeue everything although all workers live.
local function tick(stats, now_ms, lease_ms)
  local last = tonumber(redis.call('HGET', stats, 'tick') or now_ms)
  if math.abs(now_ms - last) > lease_ms / 2 then
    redis.call('HSET', stats, 'grace_until', string.format('%.0f', now_ms + lease_ms))
  end
  redis.call('HSET', stats, 'tick', string.format('%.0f', now_ms))
end
