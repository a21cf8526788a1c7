-- The tick records when the server and a worker were last alive together. A gap longer than half a lease means that
-- renewals could not get through (outage, frozen server, clock jump). Then nothing is reclaimed for the length of one
-- lease: otherwise an outage would requeue all leased jobs although their workers live.

-- The fields of `stats` to write, by the last tick (nil when there was none).
local function tick_changes(last, now_ms, lease_ms)
  local changes = {'tick', string.format('%.0f', now_ms)}
  if last and math.abs(now_ms - tonumber(last)) > lease_ms / 2 then
    changes[3], changes[4] = 'grace_until', string.format('%.0f', now_ms + lease_ms)
  end
  return changes
end

local function tick(now_ms, lease_ms)
  redis.call('HSET', keys.stats, unpack(tick_changes(redis.call('HGET', keys.stats, 'tick'), now_ms, lease_ms)))
end
