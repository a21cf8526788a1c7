-- Gives back all jobs that a session holds, in steps of about `limit` refs; calls visit(entry) for each ref. Returns
-- the number of jobs, and whether the session now holds nothing.
local function give_back_session(session, limit, now_ms, visit)
  local jobs, refs = 0, 0
  for _, fence in ipairs(held_fences(session)) do
    if refs >= limit then
      return jobs, false
    end
    for _, entry in ipairs(read_lease(session, fence) or {}) do
      visit(entry)
      jobs, refs = jobs + put_back(entry, entry.first, entry.count, now_ms), refs + 1
    end
    write_lease(session, fence, {})
  end
  redis.call('HDEL', keys.leases, session)
  return jobs, true
end
