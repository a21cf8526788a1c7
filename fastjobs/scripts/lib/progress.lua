-- How far a chunk is. One with no job left in it ends: its history is logged, or, when nothing of it is kept, it goes.

local function end_chunk(keys, id, finished, keep_ms, now_ms)
  redis.call('HDEL', keys.marks, id)
  if finished > 0 and keep_ms > 0 then
    log_finished(keys.finished_log, id, finished, now_ms + keep_ms)
  else
    redis.call('HDEL', keys.finished, id)
    redis.call('HDEL', keys.chunks, id)
  end
end

-- Counts `count` jobs of a chunk of `n` as finished, to be kept for keep_ms.
local function chunk_finished(keys, id, n, count, keep_ms, now_ms)
  if count == n then
    return end_chunk(keys, id, count, keep_ms, now_ms)
  end
  local mark = read_marks(keys.marks, id)
  mark.done, mark.finished, mark.keep_ms = mark.done + count, mark.finished + count, math.max(mark.keep_ms, keep_ms)
  if mark.done < n then
    return write_marks(keys.marks, id, mark)
  end
  return end_chunk(keys, id, mark.finished, mark.keep_ms, now_ms)
end

-- Counts the jobs of a chunk of `n` at these indexes as detached. Those of one call together: the list they go into is
-- read and written whole.
local function chunk_left(keys, id, n, indexes, now_ms)
  local mark = read_marks(keys.marks, id)
  local list = table.concat(indexes, ',')
  mark.done = mark.done + #indexes
  mark.detached = mark.detached == '-' and list or mark.detached .. ',' .. list
  if mark.done < n then
    return write_marks(keys.marks, id, mark)
  end
  return end_chunk(keys, id, mark.finished, mark.keep_ms, now_ms)
end

-- Counts one job of a chunk of `n` as detached.
local function chunk_detached(keys, id, n, index, now_ms)
  return chunk_left(keys, id, n, {index}, now_ms)
end
