-- Forgets jobs that were kept long enough: finished ones, and those of `failed` and `cancelled`.

-- Removes the oldest finished jobs: those beyond the newest `keep` jobs and those that are too old, at most `limit`
-- entries of the log.
local function trim_finished(keep, now_ms, limit)
  local kept = tonumber(redis.call('HGET', keys.stats, 'finished') or 0)
  for _ = 1, limit do
    local oldest = redis.call('ZRANGE', keys.finished_log, 0, 0, 'WITHSCORES')
    if not oldest[1] then
      return
    end
    local number, id = string.match(oldest[1], '^(%d+) (.+)$')
    if kept - tonumber(number) < keep and tonumber(oldest[2]) > now_ms then
      return
    end
    redis.call('ZREM', keys.finished_log, oldest[1])
    if string.find(id, '~', 1, true) then
      redis.call('HDEL', keys.jobs, id)
    else
      redis.call('HDEL', keys.chunks, id)
      redis.call('HDEL', keys.finished, id)
      redis.call('HDEL', keys.marks, id)
    end
    kept = kept - tonumber(number)
    redis.call('HINCRBY', keys.stats, 'finished', -tonumber(number))
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
