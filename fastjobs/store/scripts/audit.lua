-- Gives back the leases that a live session no longer knows of (a fetch whose reply was lost for good).
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
-- ARGV[2] request   number of the session's last fetch whose reply is known; when a later one was made, this does nothing
-- ARGV[3..] fences the session holds
-- Returns the number of jobs given back, or -1 when the session is fenced.
-- O(leases of the session). Keeps: no job belongs to a session that does not know of it.

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
local session, request = ARGV[1], tonumber(ARGV[2])

check_types(keys)
if not is_open(keys.sessions, session) then
  return -1
end
local last_request = string.match(redis.call('HGET', keys.leases, session) or '', '^(%d+):')
if last_request and tonumber(last_request) > request then
  return 0
end
local known = {}
for position = 3, #ARGV do
  known[ARGV[position]] = true
end
run_when_full(keys.ready)
local now_ms = server_clock()
local returned = 0
for _, fence in ipairs(held_fences(keys.leases, session)) do
  if not known[fence] then
    for _, entry in ipairs(read_lease(keys.leases, session, fence) or {}) do
      returned = returned + put_back(keys, entry, entry.first, entry.count, now_ms)
    end
    write_lease(keys.leases, session, fence, {})
  end
end
if returned > 0 then
  wake_one(keys.wake, 1)
end
return returned
