-- Reads everything about one job; writes nothing.
--
-- @keys chunks ready scheduled marks jobs finished finishing stats
-- ARGV[1] id         chunk id
-- ARGV[2] index      of the job in its chunk
-- ARGV[3] alone      1 when the job has to be the only one of its chunk
-- Returns nil when there is no such job, else {status, due_ms or 0, stored record or '', stored chunk or '',
-- head or '', times}: head and times of a job that finished in its chunk (times: of the head's job, of this job).
-- O(log^2 queue). Keeps: the answer is consistent, as everything is read in one step.

-- @include lib/read
-- @include lib/layout
-- @include lib/place
-- @include lib/chunk
-- @include lib/record
-- @include lib/marks
-- @include lib/segments
-- @include lib/order
-- @include lib/locate

local id, index, alone = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'

check_layout(read('HGET', keys.stats, 'layout'))
local job = locate_job(id, index, alone)
if not job then
  return nil
end
local stored_record = job.record and redis.call('HGET', keys.jobs, job.ref) or ''
local times = job.times or {'', '', ''}
return {
  job.status, string.format('%.0f', number_in(job.due_ms, 0)), stored_record, job.stored or '',
  times[1], times[2], times[3],
}
