-- Forgets jobs that were kept long enough: finished ones, and those of `failed` and `cancelled`.

-- @include lib/number
-- @include lib/count_by

-- Forgets the jobs of an entry of the log.
local function forget_finished(entry, id)
  redis.call('ZREM', keys.finished_log, entry)
  if string.find(id, '~', 1, true) then
    redis.call('HDEL', keys.jobs, id)
  else
    redis.call('HDEL', keys.chunks, id)
    redis.call('HDEL', keys.finished, id)
    redis.call('HDEL', keys.marks, id)
  end
end

-- Removes the oldest finished jobs: those beyond the newest `keep` jobs and those that are too old, at most `limit`
-- entries of the log.
local function trim_finished(keep, now_ms, limit)
  local kept = number_in(redis.call('HGET', keys.stats, 'finished'), 0)
  for _ = 1, limit do
    local oldest = redis.call('ZRANGE', keys.finished_log, 0, 0, 'WITHSCORES')
    if not oldest[1] then
      return
    end
    local digits, id = string.match(oldest[1], '^(%d%d?%d?%d?) (.+)$')
    local number = tonumber(digits)
    if not number then
      -- It goes to the end of the log, where it holds up nothing, and fsck reports it.
      if oldest[2] == 'inf' then
        return
      end
      redis.call('ZADD', keys.finished_log, '+inf', oldest[1])
    elseif kept - number < keep and tonumber(oldest[2]) > now_ms then
      return
    else
      forget_finished(oldest[1], id)
      kept = kept - number
      count_by('finished', -number)
    end
  end
end

-- Removes the oldest jobs of `ended` (`failed` or `cancelled`, which is also their status): those beyond the newest
-- `keep` jobs and those older than `keep_ms`, at most `limit` of them.
local function trim_ended(ended, keep, keep_ms, now_ms, limit)
  local excess = redis.call('ZCARD', keys[ended]) - keep
  -- Mostly there is nothing to remove, and the first entry shows it.
  local first = redis.call('ZRANGE', keys[ended], 0, 0, 'WITHSCORES')
  if not first[1] or (excess <= 0 and now_ms - tonumber(first[2]) <= keep_ms) then
    return
  end
  local oldest = redis.call('ZRANGE', keys[ended], 0, limit - 1, 'WITHSCORES')
  for position = 1, #oldest, 2 do
    if excess <= 0 and now_ms - tonumber(oldest[position + 1]) <= keep_ms then
      return
    end
    local record = read_record(oldest[position])
    redis.call('ZREM', keys[ended], oldest[position])
    redis.call('HDEL', keys.jobs, oldest[position])
    count_job(ended, record and record.type or '', -1)
    excess = excess - 1
  end
end
