-- Gives back the leases that a live session no longer knows of (a fetch whose reply was lost for good).
--
-- KEYS[1] ready     {..}:ready     zset  sequence + ref, score = -priority
-- KEYS[2] leases    {..}:leases    hash
-- KEYS[3] sessions  {..}:sessions  zset
-- KEYS[4] stats     {..}:stats     hash
-- KEYS[5] wake      {..}:wake      list  hints
-- ARGV[1] session
-- ARGV[2..] fences the session holds
-- Returns the number of jobs given back, or -1 when the session is fenced.
-- O(leases of the session). Keeps: no job belongs to a session that does not know of it.

-- @include lib/full_server
-- @include lib/refs
-- @include lib/counters
-- @include lib/session
-- @include lib/lease
-- @include lib/give_back
-- @include lib/wake

local ready, leases, sessions, stats, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local session = ARGV[1]

if not is_open(sessions, session) then
  return -1
end
local known = {}
for position = 2, #ARGV do
  known[ARGV[position]] = true
end
run_when_full(ready)
local given = 0
for _, fence in ipairs(held_fences(leases, session)) do
  if not known[fence] then
    for _, entry in ipairs(read_lease(leases, session, fence) or {}) do
      put_back(ready, entry, entry.first, entry.count)
      given = given + entry.count
    end
    write_lease(leases, session, fence, {})
  end
end
move_count(stats, 'executing', 'queued', given)
if given > 0 then
  wake_one(wake, 1)
end
return given
