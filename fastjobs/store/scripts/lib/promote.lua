-- Promotes jobs whose time has come.

-- @pattern SCHEDULED ^([sr])(<score>),(.+)$

-- Moves members of `scheduled` that are due into `ready`. Anything that is not a member goes to the end of the
-- schedule, where it holds up nothing, and fsck reports it.
local function promote(due)
  for _, entry in ipairs(due) do
    local kind, score, member = string.match(entry, SCHEDULED)
    local _, ref = parse_member(member or '')
    local id, _, count = parse_ref(ref or '~')
    if not id then
      run_when_full(keys.scheduled)
      redis.call('ZADD', keys.scheduled, '+inf', entry)
      count_by('set_aside', 1)
    else
      redis.call('ZREM', keys.scheduled, entry)
      redis.call('ZADD', keys.ready, score, member)
      move_count(kind == 'r' and 'retrying' or 'scheduled', 'queued', count)
    end
  end
end
