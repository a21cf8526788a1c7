-- Cancels a job: one that waits never runs, one that is being executed is asked to end.
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
-- ARGV[5] type       of the job, and
-- ARGV[6] body       of its record; used when the job is still in its chunk
-- ARGV[7] ended_keep     cancelled jobs kept
-- ARGV[8] ended_keep_ms  age to which they are kept
-- Returns nil when there is no such job, else its status: cancelled, executing (it is asked to end), or that of a job that
-- had ended, which stays as it is. O(log^2 queue). Keeps: a job cancelled before it was leased never runs; one cancelled while
-- it was executing is not run again.

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
local type, body = ARGV[5], ARGV[6]
local ended_keep, ended_keep_ms = tonumber(ARGV[7]), tonumber(ARGV[8])
check_types(keys)

check_types(keys)
local job = locate_job(keys, id, index, alone)
if not job then
  return nil
end
if job.record and job.record.operation == operation then
  return job.state
end
if job.state == 'finished' or job.state == 'failed' or job.state == 'cancelled' then
  return job.state
end
run_when_full(keys.ready)
local now_ms = server_clock()
if job.state == 'executing' then
  if redis.call('ZADD', keys.cancelling, 'NX', string.format('%.0f', now_ms), job.ref) == 1 then
    move_count(keys.stats, nil, 'moves', 1)
    if not job.record then
      write_record(keys.jobs, job.ref, {
        state = 'executing', score = job.score, sequence = job.sequence, at_ms = now_ms, operation = operation,
        type = type, body = body,
      })
    end
  end
  return 'executing'
end
local record = take_out(keys, id, index, job, type, body, now_ms)
record.operation = operation
put_ended(keys, job.ref, record, 'cancelled', now_ms)
trim_ended(keys, 'cancelled', ended_keep, ended_keep_ms, now_ms, 2)
return 'cancelled'
