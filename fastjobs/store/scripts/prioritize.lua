-- Changes the priority of a job that waits; among those of its new priority it stands where it was enqueued or is due.
--
-- KEYS[1]  chunks        {..}:chunks        hash
-- KEYS[2]  ready         {..}:ready         zset
-- KEYS[3]  scheduled     {..}:scheduled     zset
-- KEYS[4]  marks         {..}:marks         hash
-- KEYS[5]  jobs          {..}:jobs          hash
-- KEYS[6]  leases        {..}:leases        hash
-- KEYS[7]  failed        {..}:failed        zset
-- KEYS[8]  cancelled     {..}:cancelled     zset
-- KEYS[9]  cancelling    {..}:cancelling    zset  refs of executing jobs to be cancelled
-- KEYS[10] finished      {..}:finished      hash
-- KEYS[11] finished_log  {..}:finished_log  zset
-- KEYS[12] stats         {..}:stats         hash
-- KEYS[13] wake          {..}:wake          list  hints
-- ARGV[1] id         chunk id
-- ARGV[2] index      of the job in its chunk
-- ARGV[3] alone      1 when the job has to be the only one of its chunk
-- ARGV[4] operation  id of this operation: sent again, it does nothing more
-- ARGV[5] priority   the new one
-- ARGV[6] basis      SHA-1 of the stored record the body was made from; '' for a job in its chunk
-- ARGV[7] type       of the job
-- ARGV[8] body       of its new record
-- Returns nil when there is no such job, else {what, status}: done, refused (it does not wait) or again (the record has
-- changed meanwhile). O(log^2 queue).
-- Keeps: priority descending, then first in first out.

-- @include lib/types
-- @include lib/all_types
-- @include lib/clock
-- @include lib/full_server
-- @include lib/refs
-- @include lib/place
-- @include lib/chunk
-- @include lib/counters
-- @include lib/record
-- @include lib/marks
-- @include lib/history
-- @include lib/progress
-- @include lib/wake
-- @include lib/settle
-- @include lib/order
-- @include lib/locate
-- @include lib/take_out

local keys = {
  chunks = KEYS[1], ready = KEYS[2], scheduled = KEYS[3], marks = KEYS[4], jobs = KEYS[5], leases = KEYS[6],
  failed = KEYS[7], cancelled = KEYS[8], cancelling = KEYS[9], finished = KEYS[10], finished_log = KEYS[11],
  stats = KEYS[12], wake = KEYS[13],
}
local id, index, alone, operation = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1', ARGV[4]
local score, basis, type, body = string.format('%.0f', 0 - ARGV[5]), ARGV[6], ARGV[7], ARGV[8]
check_types(keys)

check_types(keys)
local job = locate_job(keys, id, index, alone)
if not job then
  return nil
end
if job.state ~= 'queued' and job.state ~= 'scheduled' and job.state ~= 'retrying' then
  return {'refused', job.state}
end
if job.record and job.record.operation == operation then
  return {'done', job.state}
end
if basis ~= (job.record and redis.sha1hex(redis.call('HGET', keys.jobs, job.ref)) or '') then
  return {'again', job.state}
end
local now_ms = server_clock()
local record = take_out(keys, id, index, job, type, body, now_ms)
record.operation, record.score, record.state, record.body = operation, score, job.state, body
record.at_ms = job.due_ms or now_ms
if job.state == 'queued' then
  redis.call('ZADD', keys.ready, score, record.sequence .. job.ref)
  wake_one(keys.wake, 1)
else
  local kind = job.state == 'retrying' and 'r' or 's'
  redis.call('ZADD', keys.scheduled, string.format('%.0f', job.due_ms),
    scheduled_member(kind, score, record.sequence .. job.ref))
end
write_record(keys.jobs, job.ref, record)
move_count(keys.stats, nil, job.state, 1)
move_count(keys.stats, nil, 'moves', 1)
return {'done', job.state}
