-- Removes every trace of a job. A job that is being executed may run to its end; its outcome is refused.
--
-- @keys chunks ready scheduled marks jobs leases failed cancelled cancelling finished finishing finished_log stats
-- ARGV[1] id         chunk id
-- ARGV[2] index      of the job in its chunk
-- ARGV[3] alone      1 when the job has to be the only one of its chunk
-- ARGV[4] session    with the fence, the lease that a job is in while it is being executed; '' = it is not known
-- ARGV[5] fence
-- Returns nil when there is no such job, else {answer, status}: done, or again (it is being executed, and not in this
-- lease). The status is the one it had.
-- O(log^2 queue), and O(lease) for a job that is being executed. Keeps: a destroyed job is not run again and leaves
-- nothing behind.

-- @include lib/read
-- @include lib/layout
-- @include lib/clock
-- @include lib/full_server
-- @include lib/place
-- @include lib/chunk
-- @include lib/counters
-- @include lib/record
-- @include lib/marks
-- @include lib/history
-- @include lib/segments
-- @include lib/progress
-- @include lib/order
-- @include lib/locate
-- @include lib/take_out
-- @include lib/refs
-- @include lib/lease
-- @include lib/settle_lease

local id, index, alone, session, fence = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1', ARGV[4], ARGV[5]

-- @check
local job = locate_job(id, index, alone)
if not job then
  return nil
end
local now_ms = server_clock()

if job.status == 'executing' then
  local entries = read_lease(session, fence) or {}
  if take_from_lease(entries, id, index, 1, job.record ~= nil, function() end) == 0 then
    return {'again', job.status}
  end
  run_when_full(keys.ready)
  write_lease(session, fence, entries)
  redis.call('ZREM', keys.cancelling, job.ref)
  move_count('executing', nil, 1)
  if job.record then
    redis.call('HDEL', keys.marks, job.ref)
  else
    chunk_left(id, job.n, {index}, now_ms)
  end
else
  run_when_full(keys.ready)
  take_out(id, index, job, '', '', now_ms)
end
redis.call('HDEL', keys.jobs, job.ref)
return {'done', job.status}
