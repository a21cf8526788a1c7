-- The tick notes that the server and a worker were alive at `now_ms`. A gap longer than half a lease means that
-- renewals could not get through (outage, frozen server, clock jump), so for one lease nothing is
-- reclaimed: otherwise an outage would requeue everything although all workers live.

-- The fields of `stats` to write, by the last tick (nil when there was none).
local function tick_changes(last, now_ms, lease_ms)
  local changes = {'tick', string.format('%.0f', now_ms)}
  if last and math.abs(now_ms - tonumber(last)) > lease_ms / 2 then
    changes[3], changes[4] = 'grace_until', string.format('%.0f', now_ms + lease_ms)
  end
  return changes
end

-- Whether the last tick is so old that a script that writes nothing else should tick; a gap is told just as well.
local function is_tick_due(last, now_ms, lease_ms)
  return not last or math.abs(now_ms - tonumber(last)) > lease_ms / 16
end

local function tick(stats, now_ms, lease_ms)
  redis.call('HSET', stats, unpack(tick_changes(redis.call('HGET', stats, 'tick'), now_ms, lease_ms)))
end
