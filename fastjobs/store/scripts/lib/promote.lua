-- Moves members of `scheduled` that are due into `ready`. Anything that is not a member stays, and fsck reports it.
local function promote(due)
  for _, entry in ipairs(due) do
    local kind, score, member = string.match(entry, '^(%a)(-?%d+),(.+)$')
    local _, ref = parse_member(member or '')
    if ref then
      local _, _, count = parse_ref(ref)
      redis.call('ZREM', keys.scheduled, entry)
      redis.call('ZADD', keys.ready, score, member)
      move_count(kind == 'r' and 'retrying' or 'scheduled', 'queued', count)
    end
  end
end
