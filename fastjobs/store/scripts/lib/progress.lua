-- How far a chunk is. A chunk with no job left in it ends: it goes into the history, or is forgotten if none of its
-- jobs is to be kept.

local function forget_chunk(id)
  redis.call('HDEL', keys.marks, id)
  redis.call('HDEL', keys.finished, id)
  redis.call('HDEL', keys.chunks, id)
end

local function end_chunk(id, mark, now_ms)
  local segments = mark.exists and take_finishing(id) or ''
  if mark.finished == 0 or mark.keep_ms == 0 then
    return forget_chunk(id)
  end
  if segments ~= '' then
    redis.call('HSET', keys.finished, id, segments)
  end
  log_finished(id, mark.finished, now_ms + mark.keep_ms)
  if mark.detached == '-' then
    redis.call('HDEL', keys.marks, id)
  else
    write_marks(id, mark)
  end
end

local function note_progress(id, n, mark, now_ms)
  -- More jobs done than there are: the marks are damaged, and the chunk may still be needed.
  if mark.done ~= n then
    return write_marks(id, mark)
  end
  return end_chunk(id, mark, now_ms)
end

-- Counts runs of jobs of a chunk of `n`, each {first, last}, as detached. Pass all runs of one script call together:
-- the list they go into is read and written whole.
local function runs_left(id, n, runs, now_ms)
  local mark = read_marks(id)
  for _, run in ipairs(runs) do
    mark.done = mark.done + run[2] - run[1] + 1
  end
  mark_detached(mark, runs)
  return note_progress(id, n, mark, now_ms)
end

-- The same of the jobs at these indexes.
local function chunk_left(id, n, indexes, now_ms)
  local runs = {}
  for position, index in ipairs(indexes) do
    runs[position] = {index, index}
  end
  return runs_left(id, n, runs, now_ms)
end
