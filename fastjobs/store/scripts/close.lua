-- Ends a session in good order: all jobs it still holds go back to their places, and no attempt is charged.
--
-- @keys chunks ready marks jobs leases sessions cancelled cancelling finished finishing finished_log stats wake
-- ARGV[1] session
-- ARGV[2] limit     most refs to give back in this call
-- Returns {jobs given back, 1 when the session is closed or 0 when there is more to give back}.
-- O(limit log queue). Keeps: no session that does not exist holds a job.

-- @include lib/read
-- @include lib/layout
-- @include lib/clock
-- @include lib/full_server
-- @include lib/refs
-- @include lib/chunk
-- @include lib/counters
-- @include lib/lease
-- @include lib/held
-- @include lib/settle_lease
-- @include lib/record
-- @include lib/marks
-- @include lib/history
-- @include lib/progress
-- @include lib/wake
-- @include lib/settle
-- @include lib/give_back
-- @include lib/put_back
-- @include lib/give_back_session

local session, limit = ARGV[1], tonumber(ARGV[2])

-- @check
run_when_full(keys.ready)
local returned, empty = give_back_session(session, limit, server_clock(), function() end)
if returned > 0 then
  wake_one(1)
end
if empty then
  redis.call('ZREM', keys.sessions, session)
end
return {returned, empty and 1 or 0}
