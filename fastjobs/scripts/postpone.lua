-- Moves leased, unstarted spans into the schedule as they are: jobs this process cannot run, another may.
--
-- KEYS[1] scheduled  {..}:scheduled  zset  "s<score>,<member of ready>" -> due (ms)
-- KEYS[2] leases     {..}:leases     hash
-- KEYS[3] sessions   {..}:sessions   zset
-- KEYS[4] stats      {..}:stats      hash
-- ARGV[1] session
-- ARGV[2] fence
-- ARGV[3] delay_ms   from the server's now
-- ARGV[4..] refs to postpone
-- Returns the number of jobs postponed, or -1 when the session is fenced. O(refs * lease).
-- Keeps: a job that nobody can run now is neither lost nor fetched over and over; it keeps its place.

-- @include lib/types
-- @include lib/clock
-- @include lib/full_server
-- @include lib/refs
-- @include lib/place
-- @include lib/counters
-- @include lib/session
-- @include lib/lease

local scheduled, leases, sessions, stats = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local session, fence, delay_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])

check_type('HLEN', leases, stats)
check_type('ZCARD', scheduled, sessions)
if not is_open(sessions, session) then
  return -1
end
local entries = read_lease(leases, session, fence)
if not entries then
  return 0
end
run_when_full(scheduled)
local due = string.format('%.0f', server_clock() + delay_ms)
local postponed = 0
for position = 4, #ARGV do
  local id, first, count, detached = parse_ref(ARGV[position])
  postponed = postponed + take_from_lease(entries, id, first, count, detached, function(entry, from, number)
    local member = entry.sequence .. span_ref(entry.ref, id, from, number)
    redis.call('ZADD', scheduled, due, scheduled_member('s', entry.score, member))
  end)
end
write_lease(leases, session, fence, entries)
move_count(stats, 'executing', 'scheduled', postponed)
return postponed
