-- Ends a session in good order: everything it still holds goes back to its place, uncharged.
--
-- KEYS[1]  ready         {..}:ready         zset  sequence + ref, score = -priority
-- KEYS[2]  leases        {..}:leases        hash
-- KEYS[3]  sessions      {..}:sessions      zset
-- KEYS[4]  chunks        {..}:chunks        hash
-- KEYS[5]  jobs          {..}:jobs          hash
-- KEYS[6]  marks         {..}:marks         hash
-- KEYS[7]  cancelling    {..}:cancelling    zset  refs of executing jobs to be cancelled
-- KEYS[8]  cancelled     {..}:cancelled     zset
-- KEYS[9]  finished      {..}:finished      hash
-- KEYS[10] finished_log  {..}:finished_log  zset
-- KEYS[11] stats         {..}:stats         hash
-- KEYS[12] wake          {..}:wake          list  hints
-- ARGV[1] session
-- ARGV[2] limit     most refs to give back in this call
-- Returns {jobs given back, 1 when the session is closed or 0 when there is more to give back}.
-- O(limit log queue). Keeps: nothing is held by a session that does not exist.

-- @include lib/types
-- @include lib/all_types
-- @include lib/clock
-- @include lib/full_server
-- @include lib/refs
-- @include lib/place
-- @include lib/chunk
-- @include lib/counters
-- @include lib/session
-- @include lib/lease
-- @include lib/settle_lease
-- @include lib/record
-- @include lib/marks
-- @include lib/history
-- @include lib/progress
-- @include lib/wake
-- @include lib/settle
-- @include lib/give_back

local keys = {
  ready = KEYS[1], leases = KEYS[2], sessions = KEYS[3], chunks = KEYS[4], jobs = KEYS[5], marks = KEYS[6],
  cancelling = KEYS[7], cancelled = KEYS[8], finished = KEYS[9], finished_log = KEYS[10], stats = KEYS[11],
  wake = KEYS[12],
}
local session, limit = ARGV[1], tonumber(ARGV[2])

check_types(keys)
run_when_full(keys.ready)
local returned, empty = give_back_session(keys, session, limit, server_clock(), function() end)
if returned > 0 then
  wake_one(keys.wake, 1)
end
if empty then
  redis.call('ZREM', keys.sessions, session)
end
return {returned, empty and 1 or 0}
