-- Gives unstarted jobs of a lease back to their place; no attempt is charged.
--
-- KEYS[1] ready     {..}:ready     zset  sequence + ref, score = -priority
-- KEYS[2] leases    {..}:leases    hash
-- KEYS[3] sessions  {..}:sessions  zset
-- KEYS[4] stats     {..}:stats     hash
-- KEYS[5] wake      {..}:wake      list  hints
-- ARGV[1] session
-- ARGV[2] fence
-- ARGV[3..] refs to give back
-- Returns the number of jobs given back (0 for those that were given back or done before), or -1 when
-- the session is fenced. O(refs * lease). Keeps: a job given back keeps its place.

-- @include lib/full_server
-- @include lib/refs
-- @include lib/counters
-- @include lib/session
-- @include lib/lease
-- @include lib/give_back
-- @include lib/wake

local ready, leases, sessions, stats, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local session, fence = ARGV[1], ARGV[2]

if not is_open(sessions, session) then
  return -1
end
local entries = read_lease(leases, session, fence)
if not entries then
  return 0
end
run_when_full(ready)
local given = 0
for position = 3, #ARGV do
  local id, first, count, detached = parse_ref(ARGV[position])
  given = given + take_from_lease(entries, id, first, count, detached, function(entry, from, number)
    put_back(ready, entry, from, number)
  end)
end
write_lease(leases, session, fence, entries)
move_count(stats, 'executing', 'queued', given)
if given > 0 then
  wake_one(wake, 1)
end
return given
