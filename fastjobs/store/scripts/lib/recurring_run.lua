-- Runs of recurring jobs. Each is a chunk of one job; its id follows from the definition and the due instant.

-- @include lib/job_ref

-- Whether the run is not done yet: queued, scheduled, executing or retrying.
local function is_live(run)
  local record = read_record(job_ref(run, 0))
  if record then
    return record.status ~= 'finished' and record.status ~= 'failed' and record.status ~= 'cancelled'
  end
  -- A chunk that has ended is gone, or kept for its history, and a chunk of one has history only after it ended.
  return redis.call('HEXISTS', keys.chunks, run) == 1 and redis.call('HEXISTS', keys.finished, run) == 0
end

-- Whether no run may begin now, because overlaps are skipped and the last run is not done.
local function is_held_up(definition)
  return definition.overlap == 'skip' and definition.last_run ~= '-' and is_live(definition.last_run)
end

-- Whether the run is stored already, live or not.
local function is_stored(run)
  return redis.call('HEXISTS', keys.chunks, run) == 1 or redis.call('HEXISTS', keys.jobs, job_ref(run, 0)) == 1
end

-- Puts a run in line as `enqueue` does.
local function enqueue_run(run, score, blob, now_us, wake_cap)
  local sequence = next_sequence(now_us)
  redis.call('HSET', keys.chunks, run, chunk_value(score, sequence, 1, blob))
  redis.call('ZADD', keys.ready, score, sequence .. run)
  move_count(nil, 'queued', 1)
  move_count(nil, 'enqueued_total', 1)
  wake_one(wake_cap)
end
