-- Forgets what has been kept long enough: finished, failed and cancelled jobs; any worker runs it, now and then.
--
-- KEYS[1] chunks        {..}:chunks        hash
-- KEYS[2] marks         {..}:marks         hash
-- KEYS[3] jobs          {..}:jobs          hash  ref -> record of a detached job
-- KEYS[4] failed        {..}:failed        zset  ref -> when (ms)
-- KEYS[5] cancelled     {..}:cancelled     zset  ref -> when (ms)
-- KEYS[6] finished      {..}:finished      hash
-- KEYS[7] finished_log  {..}:finished_log  zset  what ended -> when to forget it (ms)
-- KEYS[8] stats         {..}:stats         hash
-- ARGV[1] finished_keep  jobs of history kept
-- ARGV[2] ended_keep     failed jobs kept, and as many cancelled ones
-- ARGV[3] ended_keep_ms  age to which they are kept
-- ARGV[4] limit          most entries of each kind to forget in this call
-- Returns the number of jobs forgotten. O(limit log kept). Keeps: what a queue that nobody uses has kept goes as well.

-- @include lib/types
-- @include lib/clock
-- @include lib/full_server
-- @include lib/counters
-- @include lib/record
-- @include lib/history

local keys = {
  chunks = KEYS[1], marks = KEYS[2], jobs = KEYS[3], failed = KEYS[4], cancelled = KEYS[5], finished = KEYS[6],
  finished_log = KEYS[7], stats = KEYS[8],
}
local finished_keep, ended_keep, ended_keep_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local limit = tonumber(ARGV[4])

-- How many jobs are kept.
local function kept()
  local number = 0
  for _, count in ipairs(redis.call('HMGET', keys.stats, 'finished', 'failed', 'cancelled')) do
    number = number + (count or 0)
  end
  return number
end

check_type('HLEN', keys.chunks, keys.marks, keys.jobs, keys.finished, keys.stats)
check_type('ZCARD', keys.failed, keys.cancelled, keys.finished_log)
run_when_full(keys.stats)
local now_ms, before = server_clock(), kept()
trim_finished(keys, finished_keep, now_ms, limit)
trim_ended(keys, 'failed', ended_keep, ended_keep_ms, now_ms, limit)
trim_ended(keys, 'cancelled', ended_keep, ended_keep_ms, now_ms, limit)
return before - kept()
