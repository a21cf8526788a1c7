-- Changes the priority of a job that waits; its place among the jobs of that priority follows from its sequence.
--
-- @keys chunks ready scheduled marks jobs failed cancelled finished finishing finished_log stats wake
-- ARGV[1] id         chunk id
-- ARGV[2] index      of the job in its chunk
-- ARGV[3] alone      1 when the job has to be the only one of its chunk
-- ARGV[4] operation  id of this operation: sent again, it does nothing more
-- ARGV[5] priority   the new one
-- ARGV[6] basis      SHA-1 of the stored record that the body was made from; '' for a job in its chunk
-- ARGV[7] type       of the job
-- ARGV[8] body       of its new record
-- Returns nil when there is no such job, else {answer, status}: done, refused (it does not wait) or again (the record
-- has changed meanwhile).
-- O(log^2 queue). Keeps: priority descending, then first in first out.

-- @include lib/read
-- @include lib/layout
-- @include lib/clock
-- @include lib/place
-- @include lib/chunk
-- @include lib/counters
-- @include lib/record
-- @include lib/marks
-- @include lib/history
-- @include lib/segments
-- @include lib/progress
-- @include lib/wake
-- @include lib/order
-- @include lib/locate
-- @include lib/take_out

local id, index, alone, operation = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1', ARGV[4]
local score, basis, job_type, body = string.format('%.0f', 0 - ARGV[5]), ARGV[6], ARGV[7], ARGV[8]

-- @check
local job = locate_job(id, index, alone)
if not job then
  return nil
end
if job.status ~= 'queued' and job.status ~= 'scheduled' and job.status ~= 'retrying' then
  return {'refused', job.status}
end
if job.record and job.record.operation == operation then
  return {'done', job.status}
end
if basis ~= (job.record and redis.sha1hex(redis.call('HGET', keys.jobs, job.ref)) or '') then
  return {'again', job.status}
end
local now_ms = server_clock()
local record = take_out(id, index, job, job_type, body, now_ms)
record.operation, record.score, record.status, record.body = operation, score, job.status, body
record.at_ms = job.due_ms or now_ms
if job.status == 'queued' then
  redis.call('ZADD', keys.ready, score, record.sequence .. job.ref)
  wake_one(1)
else
  local kind = job.status == 'retrying' and 'r' or 's'
  redis.call('ZADD', keys.scheduled, string.format('%.0f', job.due_ms),
    scheduled_member(kind, score, record.sequence .. job.ref))
end
write_record(job.ref, record)
move_count(nil, job.status, 1)
move_count(nil, 'moves', 1)
return {'done', job.status}
