-- Moves due members of `scheduled` into `ready`, at most `limit` of them, so that a crowd due in one instant is let
-- in step by step.
local function promote_due(scheduled, ready, stats, now_ms, limit)
  local due = redis.call('ZRANGEBYSCORE', scheduled, '-inf', string.format('%.0f', now_ms), 'LIMIT', 0, limit)
  for _, entry in ipairs(due) do
    local kind, score, member = string.match(entry, '^(%a)(-?%d+),(.+)$')
    local _, _, count = parse_ref(string.sub(member, 14))
    redis.call('ZREM', scheduled, entry)
    redis.call('ZADD', ready, score, member)
    move_count(stats, kind == 'r' and 'retrying' or 'scheduled', 'queued', count)
  end
end
