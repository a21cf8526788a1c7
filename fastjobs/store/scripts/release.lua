-- Gives unstarted jobs of a lease back to their places; no attempt is charged.
--
-- @keys chunks ready marks jobs leases sessions cancelled cancelling finished finishing finished_log stats wake
-- ARGV[1] session
-- ARGV[2] fence
-- ARGV[3..] refs to give back
-- Returns the number of jobs taken off the lease (0 for those that were given back or done before), or -1 when the
-- session is fenced.
-- O(refs * lease). Keeps: a job given back keeps its place.

-- @include lib/read
-- @include lib/layout
-- @include lib/clock
-- @include lib/full_server
-- @include lib/refs
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
-- @include lib/put_back

local session, fence = ARGV[1], ARGV[2]
local FIRST_REF = 3

-- @check except leases sessions
if not is_open(session) then
  return -1
end
local entries = read_lease(session, fence)
if not entries then
  return 0
end
run_when_full(keys.ready)
local now_ms = server_clock()
local taken, returned = 0, 0
for position = FIRST_REF, #ARGV do
  local id, first, count, detached = parse_ref(ARGV[position])
  taken = taken + take_from_lease(entries, id, first, count, detached, function(entry, from, number)
    returned = returned + put_back(entry, from, number, now_ms)
  end)
end
write_lease(session, fence, entries)
if returned > 0 then
  wake_one(1)
end
return taken
