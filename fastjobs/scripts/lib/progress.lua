-- Counts `count` jobs of a chunk of `n` as no longer its business (finished or detached). A chunk with none
-- left ends: its history is logged, or, when nothing of it is kept, its payload goes.
local function chunk_progress(keys, id, n, count, now_ms)
  local done, redeliveries = 0, 0
  if count < n then
    done, redeliveries = read_marks(keys.marks, id)
  end
  if done + count < n then
    write_marks(keys.marks, id, done + count, redeliveries)
    return
  end
  redis.call('HDEL', keys.marks, id)
  if redis.call('HEXISTS', keys.finished, id) == 1 then
    log_finished(keys.finished_log, keys.stats, id, n, now_ms)
  else
    redis.call('HDEL', keys.chunks, id)
  end
end
