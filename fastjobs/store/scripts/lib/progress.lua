-- How far a chunk is. One with no job left in it ends: its history is logged, or, when nothing of it is kept, it goes.

local function forget_chunk(keys, id)
  redis.call('HDEL', keys.marks, id)
  redis.call('HDEL', keys.finished, id)
  redis.call('HDEL', keys.chunks, id)
end

local function end_chunk(keys, id, mark, now_ms)
  if mark.finished == 0 or mark.keep_ms == 0 then
    return forget_chunk(keys, id)
  end
  log_finished(keys.finished_log, id, mark.finished, now_ms + mark.keep_ms)
  if mark.detached == '-' then
    redis.call('HDEL', keys.marks, id)
  else
    write_marks(keys.marks, id, mark)
  end
end

local function note_progress(keys, id, n, mark, now_ms)
  if mark.done < n then
    return write_marks(keys.marks, id, mark)
  end
  return end_chunk(keys, id, mark, now_ms)
end

local function kept_jobs(mark)
  return mark.keep_ms > 0 and mark.finished or 0
end

-- Counts `count` jobs of a chunk of `n` as finished, to be kept for keep_ms; returns how many more of the chunk's are kept
-- now. A chunk is kept whole, for the longest time that was asked for.
local function chunk_finished(keys, id, n, count, keep_ms, now_ms)
  local mark = count < n and read_marks(keys.marks, id) or fresh_marks()
  local before = kept_jobs(mark)
  mark.done, mark.finished, mark.keep_ms = mark.done + count, mark.finished + count, math.max(mark.keep_ms, keep_ms)
  note_progress(keys, id, n, mark, now_ms)
  return kept_jobs(mark) - before
end

-- Counts the jobs of a chunk of `n` at these indexes as detached. Those of one call together: the list they go into is
-- read and written whole.
local function chunk_left(keys, id, n, indexes, now_ms)
  local mark = read_marks(keys.marks, id)
  mark.done = mark.done + #indexes
  mark_detached(mark, table.concat(indexes, ','))
  return note_progress(keys, id, n, mark, now_ms)
end

-- Counts one job of a chunk of `n` as detached.
local function chunk_detached(keys, id, n, index, now_ms)
  return chunk_left(keys, id, n, {index}, now_ms)
end
