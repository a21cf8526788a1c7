-- The tick records when the server and a worker were last alive together. A gap longer than half a lease means that
-- renewals could not get through (outage, frozen server, clock jump). Then nothing is reclaimed for the length of one
-- lease: otherwise an outage would requeue all leased jobs although their workers live. When the clock is set back, the
-- deadlines of all sessions go back with it: otherwise a dead session would keep its jobs all that time.

-- @include lib/number

-- Moves the deadlines of sessions that are not being reclaimed, after the clock went from `last` to now. Those that had
-- passed for a lease at the last tick only get no longer than a lease: their sessions are dead, or the tick is damaged.
local function move_deadlines(last, now_ms, lease_ms)
  local found = redis.call('ZRANGEBYSCORE', keys.sessions, '(0', '+inf', 'WITHSCORES')
  for position = 1, #found, 2 do
    local deadline = tonumber(found[position + 1])
    local moved = deadline >= last - lease_ms and deadline + now_ms - last or math.min(deadline, now_ms + lease_ms)
    redis.call('ZADD', keys.sessions, 'XX', string.format('%.0f', moved), found[position])
  end
end

-- Takes note of a tick, by the last one (nil when there was none); returns the fields of `stats` to write.
local function take_tick(last, now_ms, lease_ms)
  local changes = {'tick', string.format('%.0f', now_ms)}
  last = number_in(last, now_ms)
  local passed = now_ms - last
  if math.abs(passed) > lease_ms / 2 then
    changes[3], changes[4] = 'grace_until', string.format('%.0f', now_ms + lease_ms)
    if passed < 0 then
      move_deadlines(last, now_ms, lease_ms)
    end
  end
  return changes
end

local function tick(now_ms, lease_ms)
  redis.call('HSET', keys.stats, unpack(take_tick(redis.call('HGET', keys.stats, 'tick'), now_ms, lease_ms)))
end
