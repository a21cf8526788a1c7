-- Ends a session in good order: everything it still holds goes back to its place, uncharged.
--
-- KEYS[1] ready     {..}:ready     zset  sequence + ref, score = -priority
-- KEYS[2] leases    {..}:leases    hash
-- KEYS[3] sessions  {..}:sessions  zset
-- KEYS[4] stats     {..}:stats     hash
-- KEYS[5] wake      {..}:wake      list  hints
-- ARGV[1] session
-- ARGV[2] limit     most refs to give back in this call
-- Returns {jobs given back, 1 when the session is closed or 0 when there is more to give back}.
-- O(limit log queue). Keeps: nothing is held by a session that does not exist.

-- @include lib/full_server
-- @include lib/refs
-- @include lib/counters
-- @include lib/lease
-- @include lib/give_back
-- @include lib/wake

local ready, leases, sessions, stats, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local session, limit = ARGV[1], tonumber(ARGV[2])

run_when_full(ready)
local jobs, empty = give_back_session(ready, leases, session, limit, function() end)
move_count(stats, 'executing', 'queued', jobs)
if jobs > 0 then
  wake_one(wake, 1)
end
if empty then
  redis.call('ZREM', sessions, session)
end
return {jobs, empty and 1 or 0}
