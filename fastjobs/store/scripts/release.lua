-- Gives unstarted jobs of a lease back to their place; no attempt is charged.
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
-- ARGV[2] fence
-- ARGV[3..] refs to give back
-- Returns the number of jobs taken off the lease (0 for those that were given back or done before), or -1 when
-- the session is fenced. O(refs * lease). Keeps: a job given back keeps its place.

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
local session, fence = ARGV[1], ARGV[2]

check_types(keys)
if not is_open(keys.sessions, session) then
  return -1
end
local entries = read_lease(keys.leases, session, fence)
if not entries then
  return 0
end
run_when_full(keys.ready)
local now_ms = server_clock()
local taken, returned = 0, 0
for position = 3, #ARGV do
  local id, first, count, detached = parse_ref(ARGV[position])
  taken = taken + take_from_lease(entries, id, first, count, detached, function(entry, from, number)
    returned = returned + put_back(keys, entry, from, number, now_ms)
  end)
end
write_lease(keys.leases, session, fence, entries)
if returned > 0 then
  wake_one(keys.wake, 1)
end
return taken
