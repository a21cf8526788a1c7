-- Takes the jobs of sessions past their deadline and puts them back to their place; any worker runs it.
--
-- KEYS[1] ready     {..}:ready     zset  sequence + ref, score = -priority
-- KEYS[2] marks     {..}:marks     hash  counts redeliveries
-- KEYS[3] leases    {..}:leases    hash
-- KEYS[4] sessions  {..}:sessions  zset  session -> deadline (ms)
-- KEYS[5] stats     {..}:stats     hash  grace_until
-- KEYS[6] wake      {..}:wake      list  hints
-- ARGV[1] limit     most refs to give back in this call
-- ARGV[2] lease_ms  lease length, for the outage grace
-- Returns {sessions ended, jobs given back, 1 when more is waiting else 0}.
-- O(limit log queue). Keeps: no job stays invisible longer than lease + reclaim interval; a session is fenced
-- before its first job is given back, so its late acks are refused.

-- @include lib/clock
-- @include lib/full_server
-- @include lib/refs
-- @include lib/counters
-- @include lib/tick
-- @include lib/lease
-- @include lib/give_back
-- @include lib/marks
-- @include lib/wake

local ready, marks, leases, sessions, stats, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local limit, lease_ms = tonumber(ARGV[1]), tonumber(ARGV[2])

local now_ms = server_clock()
run_when_full(sessions)
tick(stats, now_ms, lease_ms)
if now_ms < tonumber(redis.call('HGET', stats, 'grace_until') or 0) then
  return {0, 0, 0}
end
local expired = redis.call('ZRANGEBYSCORE', sessions, '-inf', string.format('%.0f', now_ms), 'LIMIT', 0, 1)
if #expired == 0 then
  return {0, 0, 0}
end

local session = expired[1]
redis.call('ZADD', sessions, 0, session)
local jobs, empty = give_back_session(ready, leases, session, limit, function(entry)
  local marked = entry.detached and entry.ref or entry.id
  local done, redeliveries, finished = read_marks(marks, marked)
  write_marks(marks, marked, done, redeliveries + 1, finished)
end)
move_count(stats, 'executing', 'queued', jobs)
move_count(stats, nil, 'redelivered_total', jobs)
if jobs > 0 then
  wake_one(wake, 1)
end
if empty then
  redis.call('ZREM', sessions, session)
end
return {empty and 1 or 0, jobs, 1}
