-- Cancels a job: one that waits never runs, one that is being executed is asked to end.
--
-- @keys chunks ready scheduled marks jobs failed cancelled cancelling finished finishing finished_log stats
-- ARGV[1] id         chunk id
-- ARGV[2] index      of the job in its chunk
-- ARGV[3] alone      1 when the job has to be the only one of its chunk
-- ARGV[4] operation  id of this operation: sent again, it does nothing more
-- ARGV[5] type       of the job
-- ARGV[6] body       of the record to make if the job is still in its chunk
-- ARGV[7] ended_keep     cancelled jobs to keep
-- ARGV[8] ended_keep_ms  age up to which they are kept
-- Returns nil when there is no such job, else its status: cancelled, executing (it is asked to end), or that of a job
-- that had ended, which stays as it is.
-- O(log^2 queue). Keeps: a job cancelled before it was leased never runs; one cancelled while it was being executed is
-- not run again.

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
-- @include lib/settle
-- @include lib/trimming

local id, index, alone, operation = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1', ARGV[4]
local job_type, body = ARGV[5], ARGV[6]
local ended_keep, ended_keep_ms = tonumber(ARGV[7]), tonumber(ARGV[8])

-- @check
local job = locate_job(id, index, alone)
if not job then
  return nil
end
if job.record and job.record.operation == operation then
  return job.status
end
if job.status == 'finished' or job.status == 'failed' or job.status == 'cancelled' then
  return job.status
end
run_when_full(keys.ready)
local now_ms = server_clock()
if job.status == 'executing' then
  if redis.call('ZADD', keys.cancelling, 'NX', string.format('%.0f', now_ms), job.ref) == 1 then
    move_count(nil, 'moves', 1)
    if not job.record then
      write_record(job.ref, {
        status = 'executing', score = job.score, sequence = job.sequence, at_ms = now_ms, operation = operation,
        type = job_type, body = body,
      })
    end
  end
  return 'executing'
end
local record = take_out(id, index, job, job_type, body, now_ms)
record.operation = operation
put_ended(job.ref, record, 'cancelled', now_ms)
trim_ended('cancelled', ended_keep, ended_keep_ms, now_ms, 2)
return 'cancelled'
