-- Moves due members of `scheduled` ("s" scheduled or "r" retrying, priority, comma, ref) into `ready`,
-- at most `limit` of them, so that a crowd due in one instant is let in step by step.
local function promote_due(scheduled, ready, stats, now_ms, now_us, limit)
  local due = redis.call('ZRANGEBYSCORE', scheduled, '-inf', string.format('%.0f', now_ms), 'LIMIT', 0, limit)
  for _, member in ipairs(due) do
    local kind, priority, ref = string.match(member, '^(%a)(-?%d+),(.+)$')
    local _, _, count = parse_ref(ref)
    redis.call('ZREM', scheduled, member)
    redis.call('ZADD', ready, 0 - priority, next_sequence(stats, now_us) .. ref)
    move_count(stats, kind == 'r' and 'retrying' or 'scheduled', 'queued', count)
  end
end
