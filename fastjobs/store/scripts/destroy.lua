-- Removes every trace of a job. One that is being executed may run to its end; what it reports is refused.
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
-- Returns nil when there is no such job, else the status it had. O(log^2 queue), or O(leases) for one that is being
-- executed. Keeps: a destroyed job is not run again and leaves nothing behind.

-- @include lib/types
-- @include lib/all_types
-- @include lib/clock
-- @include lib/full_server
-- @include lib/refs
-- @include lib/place
-- @include lib/chunk
-- @include lib/counters
-- @include lib/lease
-- @include lib/settle_lease
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
local id, index, alone = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'
check_types(keys)

check_types(keys)
local job = locate_job(keys, id, index, alone)
if not job then
  return nil
end
run_when_full(keys.ready)
local now_ms = server_clock()

-- Takes the job off the lease it is in.
local function take_off_lease()
  local held = redis.call('HGETALL', keys.leases)
  for position = 1, #held, 2 do
    local session, fence = string.match(held[position], '^(.+):(%d+)$')
    if session and string.find(held[position + 1], id, 1, true) then
      local entries = read_lease(keys.leases, session, fence)
      if take_from_lease(entries, id, index, 1, job.record ~= nil, function() end) > 0 then
        write_lease(keys.leases, session, fence, entries)
        return
      end
    end
  end
end

if job.state == 'executing' then
  take_off_lease()
  redis.call('ZREM', keys.cancelling, job.ref)
  move_count(keys.stats, 'executing', nil, 1)
  if job.record then
    redis.call('HDEL', keys.marks, job.ref)
  else
    chunk_detached(keys, id, job.n, index, now_ms)
  end
else
  take_out(keys, id, index, job, '', '', now_ms)
end
redis.call('HDEL', keys.jobs, job.ref)
return job.state
