-- Takes a job out of the key it is in, so that the script can put it elsewhere or forget it.

-- Cuts a job out of the span it waits in.
local function cut_span(zset, job, index)
  local score = redis.call('ZSCORE', zset, job.member)
  redis.call('ZREM', zset, job.member)
  local function put_rest(first, count)
    if count > 0 then
      local prefix = string.match(job.member, '^(.*)~%d+%+%d+$')
      redis.call('ZADD', zset, score, string.format('%s~%03d+%d', prefix, first, count))
    end
  end
  put_rest(job.first, index - job.first)
  put_rest(index + 1, job.first + job.count - index - 1)
end

-- Takes a job that finished in its chunk out of the history.
local function cut_history(id, index)
  local mark = read_marks(id)
  if not mark.exists then
    -- The chunk has ended and is kept; only the log knows for how long, so any keep_ms but 0 will do.
    mark.keep_ms = 1
    mark.finished = finished_number(redis.call('HGET', keys.finished, id) or '')
  end
  local logged = string.format('%d %s', mark.finished, id)
  local forget_ms = redis.call('ZSCORE', keys.finished_log, logged)
  mark.finished = math.max(0, mark.finished - 1)
  mark_detached(mark, {{index, index}})
  if not forget_ms then
    return write_marks(id, mark)
  end
  redis.call('ZREM', keys.finished_log, logged)
  if mark.finished == 0 then
    return forget_chunk(id)
  end
  log_finished(id, mark.finished, forget_ms)
  write_marks(id, mark)
end

-- Takes a job (as `locate` returns it) that no worker executes out of its line, its ended set or the history, and out
-- of the counters. Returns its record, made of type and body for a job still in its chunk.
local function take_out(id, index, job, job_type, body, now_ms)
  local waits = job.status == 'queued' or job.status == 'scheduled' or job.status == 'retrying'
  local zset = job.status == 'queued' and keys.ready or keys.scheduled
  if job.status == 'failed' or job.status == 'cancelled' then
    redis.call('ZREM', keys[job.status], job.ref)
    count_job(job.status, job.record.type, -1)
    return job.record
  end
  move_count(job.status, nil, 1)
  if job.record then
    if waits then
      redis.call('ZREM', zset, job.member)
      redis.call('HDEL', keys.marks, job.ref)
    else
      redis.call('ZREM', keys.finished_log, '1 ' .. job.ref)
    end
    return job.record
  end
  if not waits then
    cut_history(id, index)
  elseif job.n == 1 then
    redis.call('ZREM', zset, job.member)
    chunk_left(id, 1, {0}, now_ms)
  else
    cut_span(zset, job, index)
    chunk_left(id, job.n, {index}, now_ms)
  end
  return {score = job.score, sequence = job.sequence, operation = '-', type = job_type, body = body}
end
