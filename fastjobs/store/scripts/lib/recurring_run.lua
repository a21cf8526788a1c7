-- Runs of recurring jobs: each is a chunk of one, enqueued under a job id that follows from what it is a run of.

-- Whether the run is not done yet: queued, scheduled, executing or retrying.
local function is_live(keys, run)
  local record = read_record(keys.jobs, run .. '~0')
  if record then
    return record.state ~= 'finished' and record.state ~= 'failed' and record.state ~= 'cancelled'
  end
  -- A chunk that has ended is gone, or kept for its history, which a chunk of one has only then.
  return redis.call('HEXISTS', keys.chunks, run) == 1 and redis.call('HEXISTS', keys.finished, run) == 0
end

-- Whether the definition lets no run begin now.
local function is_held_up(keys, definition)
  return definition.overlap == 'skip' and definition.last_run ~= '-' and is_live(keys, definition.last_run)
end

-- Whether the run is stored already, live or not.
local function is_stored(keys, run)
  return redis.call('HEXISTS', keys.chunks, run) == 1 or redis.call('HEXISTS', keys.jobs, run .. '~0') == 1
end

-- Puts a run in line as `enqueue` does.
local function enqueue_run(keys, run, score, blob, now_us, wake_cap)
  local sequence = sequence_after(redis.call('HGET', keys.stats, 'sequence'), now_us)
  store_chunk(keys.chunks, run, score, sequence, 1, blob)
  redis.call('HSET', keys.stats, 'sequence', sequence)
  redis.call('ZADD', keys.ready, score, sequence .. run)
  move_count(keys.stats, nil, 'queued', 1)
  move_count(keys.stats, nil, 'enqueued_total', 1)
  wake_one(keys.wake, wake_cap)
end
