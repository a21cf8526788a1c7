-- Puts a job in line again: at once or for a time, with all its retries.
--
-- @keys chunks ready scheduled marks jobs failed cancelled finished finishing finished_log stats wake
-- ARGV[1] id         chunk id
-- ARGV[2] index      of the job in its chunk
-- ARGV[3] alone      1 when the job has to be the only one of its chunk
-- ARGV[4] operation  id of this operation: sent again, it does nothing more
-- ARGV[5] allowed    statuses it may have, separated by commas
-- ARGV[6] delay_ms   from the server's now; 0 = at once
-- ARGV[7] due_at_ms  when it is due, ms since 1970, if delay_ms is 0; in the past = at once
-- ARGV[8] basis      SHA-1 of the stored record that the body was made from; '' for a job in its chunk
-- ARGV[9] type       of the job
-- ARGV[10] body      of its new record
-- Returns nil when there is no such job, else {answer, status}: done, refused (the status does not allow it) or again
-- (the record has changed meanwhile).
-- O(log^2 queue). Keeps: a job never runs twice at once, and one operation runs it again once.

-- @include lib/read
-- @include lib/layout
-- @include lib/clock
-- @include lib/place
-- @include lib/next_sequence
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
-- @include lib/put_in_line

local id, index, alone, operation, allowed = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1', ARGV[4], ARGV[5]
local delay_ms, due_at_ms, basis, job_type, body = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8], ARGV[9], ARGV[10]

-- @check
local job = locate_job(id, index, alone)
if not job then
  return nil
end
if job.record and job.record.operation == operation then
  return {'done', job.status}
end
if not string.find(',' .. allowed .. ',', ',' .. job.status .. ',', 1, true) then
  return {'refused', job.status}
end
if basis ~= (job.record and redis.sha1hex(redis.call('HGET', keys.jobs, job.ref)) or '') then
  return {'again', job.status}
end
local now_ms, now_us = server_clock()
local due_ms = delay_ms > 0 and now_ms + delay_ms or due_at_ms
local record = take_out(id, index, job, job_type, body, now_ms)
record.operation, record.type, record.body = operation, job_type, body
put_in_line(job.ref, record, 's', due_ms, now_ms, now_us)
move_count(nil, 'moves', 1)
return {'done', record.status}
