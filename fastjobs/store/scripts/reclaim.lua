-- Takes the jobs of sessions past their deadline and puts them back to their places; any worker runs it.
--
-- @keys chunks ready marks jobs leases sessions cancelled cancelling finished finishing finished_log stats wake
-- ARGV[1] limit     most refs to give back in this call
-- ARGV[2] lease_ms  lease length, for the outage grace
-- Returns {sessions ended, jobs given back, 1 when more is waiting else 0}.
-- O(limit log queue). Keeps: no job stays invisible longer than lease + reclaim interval; a session is fenced before
-- its first job is given back, so its late acks are refused.

-- @include lib/read
-- @include lib/layout
-- @include lib/clock
-- @include lib/full_server
-- @include lib/refs
-- @include lib/chunk
-- @include lib/counters
-- @include lib/tick
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

local limit, lease_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
-- A time further away than a day was not written as the end of a grace.
local LONGEST_GRACE_MS = 86400000

-- @check
local now_ms = server_clock()
run_when_full(keys.sessions)
tick(now_ms, lease_ms)
local grace_until = number_in(redis.call('HGET', keys.stats, 'grace_until'), 0)
if now_ms < grace_until and grace_until <= now_ms + LONGEST_GRACE_MS then
  return {0, 0, 0}
end
local expired = redis.call('ZRANGEBYSCORE', keys.sessions, '-inf', string.format('%.0f', now_ms), 'LIMIT', 0, 1)
if #expired == 0 then
  return {0, 0, 0}
end

local session = expired[1]
redis.call('ZADD', keys.sessions, 0, session)
-- One death is one redelivery of a chunk, however many pieces of it the session held.
local counted = {}
local returned, empty = give_back_session(session, limit, now_ms, function(entry)
  local marked = entry.detached and entry.ref or entry.id
  if counted[marked] then
    return
  end
  counted[marked] = true
  local mark = read_marks(marked)
  mark.redeliveries = mark.redeliveries + 1
  write_marks(marked, mark)
end)
move_count(nil, 'redelivered_total', returned)
if returned > 0 then
  wake_one(1)
end
if empty then
  redis.call('ZREM', keys.sessions, session)
end
return {empty and 1 or 0, returned, 1}
