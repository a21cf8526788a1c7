-- Puts jobs of a lease entry back into `ready` at the place they came from.
local function put_back(ready, entry, first, count)
  local ref = span_ref(entry.ref, entry.id, first, count)
  redis.call('ZADD', ready, entry.score, entry.sequence .. ref)
end

-- Gives back everything the session holds, in steps of about `limit` refs: visit(id or detached job's ref)
-- is called for each ref. Returns the number of jobs and whether the session now holds nothing.
local function give_back_session(ready, leases, session, limit, visit)
  local jobs, refs = 0, 0
  for _, fence in ipairs(held_fences(leases, session)) do
    if refs >= limit then
      return jobs, false
    end
    for _, entry in ipairs(read_lease(leases, session, fence) or {}) do
      put_back(ready, entry, entry.first, entry.count)
      visit(entry)
      jobs, refs = jobs + entry.count, refs + 1
    end
    write_lease(leases, session, fence, {})
  end
  redis.call('HDEL', leases, session)
  return jobs, true
end
