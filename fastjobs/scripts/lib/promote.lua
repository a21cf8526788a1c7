-- Moves members of `scheduled` that are due into `ready`.
local function promote(scheduled, ready, stats, due)
  for _, entry in ipairs(due) do
    local kind, score, member = string.match(entry, '^(%a)(-?%d+),(.+)$')
    local _, _, count = parse_ref(string.sub(member, 14))
    redis.call('ZREM', scheduled, entry)
    redis.call('ZADD', ready, score, member)
    move_count(stats, kind == 'r' and 'retrying' or 'scheduled', 'queued', count)
  end
end
