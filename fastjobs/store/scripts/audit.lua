-- Gives back the leases that a live session does not know of, after a fetch whose reply was lost for good.
--
-- @keys chunks ready marks jobs leases sessions cancelled cancelling finished finishing finished_log stats wake
-- ARGV[1] session
-- ARGV[2] request   number of the session's last fetch whose reply is known; after a later one, this does nothing
-- ARGV[3..] fences that the session holds
-- Returns the number of jobs given back, or -1 when the session is fenced.
-- O(leases of the session). Keeps: no job belongs to a session that does not know of it.

-- @include lib/read
-- @include lib/layout
-- @include lib/clock
-- @include lib/full_server
-- @include lib/refs
-- @include lib/chunk
-- @include lib/counters
-- @include lib/session
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

local session, request = ARGV[1], tonumber(ARGV[2])
local FIRST_FENCE = 3

-- @check except sessions
if not is_open(session) then
  return -1
end
local last_request = string.match(redis.call('HGET', keys.leases, session) or '', '^(%d+):')
if last_request and tonumber(last_request) > request then
  return 0
end
local known = {}
for position = FIRST_FENCE, #ARGV do
  known[ARGV[position]] = true
end
run_when_full(keys.ready)
local now_ms = server_clock()
local returned = 0
for _, fence in ipairs(held_fences(session)) do
  if not known[fence] then
    for _, entry in ipairs(read_lease(session, fence) or {}) do
      returned = returned + put_back(entry, entry.first, entry.count, now_ms)
    end
    write_lease(session, fence, {})
  end
end
if returned > 0 then
  wake_one(1)
end
return returned
