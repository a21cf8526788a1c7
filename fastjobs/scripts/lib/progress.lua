-- Counts `count` jobs of a chunk of `n` as no longer its business: `finished` of them finished, the others were
-- detached. A chunk with none left ends: its history is logged, or, when nothing of it is kept, its payload goes.
local function chunk_progress(keys, id, n, count, finished, now_ms)
  local done_before, redeliveries, finished_before = 0, 0, 0
  if count < n then
    done_before, redeliveries, finished_before = read_marks(keys.marks, id)
  end
  local done = done_before + count
  finished = finished_before + finished
  if done < n then
    write_marks(keys.marks, id, done, redeliveries, finished)
    return
  end
  redis.call('HDEL', keys.marks, id)
  if redis.call('HEXISTS', keys.finished, id) == 1 then
    log_finished(keys.finished_log, id, finished, now_ms)
  else
    redis.call('HDEL', keys.chunks, id)
  end
end
