-- Forgets jobs and senders that were kept long enough; any worker runs it, now and then.
--
-- @keys chunks marks jobs failed cancelled finished finished_log senders stats
-- ARGV[1] finished_keep  finished jobs to keep
-- ARGV[2] ended_keep     failed jobs to keep, and as many cancelled ones
-- ARGV[3] ended_keep_ms  age up to which they are kept
-- ARGV[4] limit          most entries of each kind to forget in this call
-- Returns the number of jobs forgotten; each call looks at about `limit` senders, in turn.
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
-- A longer cursor is none.
local CURSOR_DIGITS = 20

-- How many jobs are kept.
local function kept()
  local number = 0
  for _, count in ipairs(redis.call('HMGET', keys.stats, 'finished', 'failed', 'cancelled')) do
    number = number + number_in(count, 0)
  end
  return number
end

-- Forgets senders that have not sent anything for a while, some in each call.
local function trim_senders(now_ms)
  local from = string.match(redis.call('HGET', keys.stats, 'senders_cursor') or '', '^%d+$') or '0'
  from = #from < CURSOR_DIGITS and from or '0'
  local reply = redis.call('HSCAN', keys.senders, from, 'COUNT', limit)
  for position = 1, #reply[2], 2 do
    local forget_ms = string.match(reply[2][position + 1], '^(%d+) ')
    if not forget_ms or tonumber(forget_ms) <= now_ms then
      redis.call('HDEL', keys.senders, reply[2][position])
    end
  end
  if reply[1] ~= from then
    redis.call('HSET', keys.stats, 'senders_cursor', reply[1])
  end
end

-- @check
run_when_full(keys.stats)
local now_ms, before = server_clock(), kept()
trim_finished(finished_keep, now_ms, limit)
trim_ended('failed', ended_keep, ended_keep_ms, now_ms, limit)
trim_ended('cancelled', ended_keep, ended_keep_ms, now_ms, limit)
trim_senders(now_ms)
return before - kept()
