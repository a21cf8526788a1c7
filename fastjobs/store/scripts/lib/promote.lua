-- Moves members of `scheduled` that are due into `ready`; what is none stays for fsck to tell.
local function promote(scheduled, ready, stats, due)
  for _, entry in ipairs(due) do
    local kind, score, member = string.match(entry, '^(%a)(-?%d+),(.+)$')
    local _, ref = parse_member(member or '')
    if ref then
      local _, _, count = parse_ref(ref)
      redis.call('ZREM', scheduled, entry)
      redis.call('ZADD', ready, score, member)
      move_count(stats, kind == 'r' and 'retrying' or 'scheduled', 'queued', count)
    end
  end
end
