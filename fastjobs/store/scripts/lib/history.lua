-- What ended is kept for a while. `finished` holds, per chunk, segments "<first>+<count> <head>" followed by eight bytes
-- of times per job; a head is eight bytes of time, a byte of length and as many bytes of the worker's name.
-- `finished_log` lists what has ended whole by when it is to be forgotten, as "<jobs> <id>", where id is a chunk id or a
-- detached job's ref. The payload stays in `chunks` (or `jobs`) for as long.

-- Adds a chunk or detached job that has ended whole to the history, with how many of its jobs finished.
local function log_finished(finished_log, id, finished, forget_ms)
  redis.call('ZADD', finished_log, string.format('%.0f', forget_ms), string.format('%d %s', finished, id))
end

-- The head and times of the job at an index, in the segments of its chunk; nil when it is in none.
local function finished_times(segments, index)
  local position = 1
  while position <= #segments do
    local first, count, head = string.match(segments, '^(%d+)%+(%d+) ()', position)
    first, count = tonumber(first), tonumber(count)
    local columns = head + 9 + string.byte(segments, head + 8)
    if index >= first and index < first + count then
      local offset = columns + (index - first) * 8
      return {string.sub(segments, head, columns - 1), string.sub(segments, columns, columns + 7),
        string.sub(segments, offset, offset + 7)}
    end
    position = columns + count * 8
  end
  return nil
end

-- How many jobs are in the segments of a chunk.
local function finished_number(segments)
  local position, number = 1, 0
  while position <= #segments do
    local _, count, head = string.match(segments, '^(%d+)%+(%d+) ()', position)
    number = number + tonumber(count)
    position = head + 9 + string.byte(segments, head + 8) + tonumber(count) * 8
  end
  return number
end

-- Removes the oldest entries that are not needed to keep `keep` jobs, or are too old; at most `limit`.
local function trim_finished(keys, keep, now_ms, limit)
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

-- Removes the oldest jobs of `ended` (`failed` or `cancelled`, also their status) beyond `keep` or older than `keep_ms`,
-- at most `limit` of them.
local function trim_ended(keys, ended, keep, keep_ms, now_ms, limit)
  local excess = redis.call('ZCARD', keys[ended]) - keep
  -- Mostly there is nothing to remove, and one entry tells.
  local first = redis.call('ZRANGE', keys[ended], 0, 0, 'WITHSCORES')
  if not first[1] or (excess <= 0 and now_ms - tonumber(first[2]) <= keep_ms) then
    return
  end
  local oldest = redis.call('ZRANGE', keys[ended], 0, limit - 1, 'WITHSCORES')
  for position = 1, #oldest, 2 do
    if excess <= 0 and now_ms - tonumber(oldest[position + 1]) <= keep_ms then
      return
    end
    local record = read_record(keys.jobs, oldest[position])
    redis.call('ZREM', keys[ended], oldest[position])
    redis.call('HDEL', keys.jobs, oldest[position])
    count_job(keys.stats, ended, record and record.type or '', -1)
    excess = excess - 1
  end
end
