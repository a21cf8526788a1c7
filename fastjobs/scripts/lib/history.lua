-- What ended is kept for a while. `finished` holds, per chunk, segments "<first>+<count> <head>" followed by
-- eight bytes of times per job; `finished_log` lists what has ended whole, oldest first, as "<jobs> <ended ms> <id>",
-- where id is a chunk id or a detached job's ref. The payload stays in `chunks` (or `jobs`) for as long.

-- Adds a chunk or detached job that has ended whole to the history, with how many of its jobs finished.
local function log_finished(finished_log, id, finished, now_ms)
  redis.call('RPUSH', finished_log, string.format('%d %.0f %s', finished, now_ms, id))
end

-- Removes the oldest entries that are not needed to keep `keep` jobs, or are older than `keep_ms`; at most `limit`.
local function trim_finished(keys, keep, keep_ms, now_ms, limit)
  local kept = tonumber(redis.call('HGET', keys.stats, 'finished') or 0)
  for _ = 1, limit do
    local oldest = redis.call('LINDEX', keys.finished_log, 0)
    if not oldest then
      return
    end
    local number, ended_ms, id = string.match(oldest, '^(%d+) (%d+) (.+)$')
    if kept - tonumber(number) < keep and now_ms - tonumber(ended_ms) <= keep_ms then
      return
    end
    redis.call('LPOP', keys.finished_log)
    if string.find(id, '~', 1, true) then
      redis.call('HDEL', keys.jobs, id)
    else
      redis.call('HDEL', keys.chunks, id)
      redis.call('HDEL', keys.finished, id)
    end
    kept = kept - tonumber(number)
    redis.call('HINCRBY', keys.stats, 'finished', -tonumber(number))
  end
end

-- Removes the oldest failed jobs beyond `keep` or older than `keep_ms`, at most `limit` of them.
local function trim_failed(keys, keep, keep_ms, now_ms, limit)
  local excess = redis.call('ZCARD', keys.failed) - keep
  local oldest = redis.call('ZRANGE', keys.failed, 0, limit - 1, 'WITHSCORES')
  for position = 1, #oldest, 2 do
    if excess <= 0 and now_ms - tonumber(oldest[position + 1]) <= keep_ms then
      return
    end
    redis.call('ZREM', keys.failed, oldest[position])
    redis.call('HDEL', keys.jobs, oldest[position])
    redis.call('HINCRBY', keys.stats, 'failed', -1)
    excess = excess - 1
  end
end
