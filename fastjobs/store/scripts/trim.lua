-- Forgets finished, failed and cancelled jobs that were kept long enough; any worker runs it, now and then.
--
-- @keys chunks marks jobs failed cancelled finished finished_log stats
-- ARGV[1] finished_keep  finished jobs to keep
-- ARGV[2] ended_keep     failed jobs to keep, and as many cancelled ones
-- ARGV[3] ended_keep_ms  age up to which they are kept
-- ARGV[4] limit          most entries of each kind to forget in this call
-- Returns the number of jobs forgotten.
-- O(limit log kept). Keeps: retention also holds in a queue that nobody uses.

-- @include lib/read
-- @include lib/layout
-- @include lib/clock
-- @include lib/full_server
-- @include lib/counters
-- @include lib/record
-- @include lib/trimming

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

-- @check
run_when_full(keys.stats)
local now_ms, before = server_clock(), kept()
trim_finished(finished_keep, now_ms, limit)
trim_ended('failed', ended_keep, ended_keep_ms, now_ms, limit)
trim_ended('cancelled', ended_keep, ended_keep_ms, now_ms, limit)
return before - kept()
