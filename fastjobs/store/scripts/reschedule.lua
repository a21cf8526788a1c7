-- Puts a job in line again: at once or for a time, with all its retries.
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
-- ARGV[5] allowed    statuses it may have, separated by commas
-- ARGV[6] delay_ms   from the server's now; 0 = at once
-- ARGV[7] due_at_ms  when it is due, ms since 1970, if delay_ms is 0; in the past = at once
-- ARGV[8] basis      SHA-1 of the stored record the body was made from; '' for a job in its chunk
-- ARGV[9] type       of the job
-- ARGV[10] body      of its new record
-- Returns nil when there is no such job, else {what, status}: done, refused (the status does not allow it) or again (the record
-- has changed meanwhile). O(log^2 queue). Keeps: a job is never run twice at once, and one operation runs it again once.

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
local id, index, alone, operation, allowed = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1', ARGV[4], ARGV[5]
local delay_ms, due_at_ms, basis, type, body = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8], ARGV[9], ARGV[10]
check_types(keys)

check_types(keys)
local job = locate_job(keys, id, index, alone)
if not job then
  return nil
end
if job.record and job.record.operation == operation then
  return {'done', job.state}
end
if not string.find(',' .. allowed .. ',', ',' .. job.state .. ',', 1, true) then
  return {'refused', job.state}
end
if basis ~= (job.record and redis.sha1hex(redis.call('HGET', keys.jobs, job.ref)) or '') then
  return {'again', job.state}
end
local now_ms, now_us = server_clock()
local due_ms = delay_ms > 0 and now_ms + delay_ms or due_at_ms
local record = take_out(keys, id, index, job, type, body, now_ms)
record.operation, record.type, record.body = operation, type, body
put_in_line(keys, job.ref, record, 's', due_ms, now_ms, now_us)
move_count(keys.stats, nil, 'moves', 1)
return {'done', record.state}
