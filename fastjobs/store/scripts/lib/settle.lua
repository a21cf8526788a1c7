-- Puts detached jobs where they belong; record as in `record`, without state, sequence and at_ms.

-- Puts a job in line: at once, or when it is due; kind is "s" scheduled or "r" retrying. Due in the past is at once.
local function put_in_line(keys, ref, record, kind, due_ms, now_ms, now_us)
  if due_ms > now_ms then
    record.state, record.at_ms, record.sequence = kind == 'r' and 'retrying' or 'scheduled', due_ms, due_sequence(due_ms)
    redis.call('ZADD', keys.scheduled, string.format('%.0f', due_ms),
      scheduled_member(kind, record.score, record.sequence .. ref))
  else
    record.state, record.at_ms, record.sequence = 'queued', now_ms, next_sequence(keys.stats, now_us)
    redis.call('ZADD', keys.ready, record.score, record.sequence .. ref)
    wake_one(keys.wake, 1)
  end
  write_record(keys.jobs, ref, record)
  move_count(keys.stats, nil, record.state, 1)
end

-- Ends a job as failed or cancelled.
local function put_ended(keys, ref, record, state, now_ms)
  record.state, record.at_ms, record.sequence = state, now_ms, record.sequence or '0'
  write_record(keys.jobs, ref, record)
  redis.call('ZADD', keys[state], string.format('%.0f', now_ms), ref)
  count_job(keys.stats, state, record.type, 1)
  move_count(keys.stats, nil, state .. '_total', 1)
end

-- Ends a job as finished; it is kept for keep_ms, 0 = not at all.
local function put_finished(keys, ref, record, now_ms, keep_ms)
  if keep_ms > 0 then
    record.state, record.at_ms, record.sequence = 'finished', now_ms, '0'
    write_record(keys.jobs, ref, record)
    log_finished(keys.finished_log, ref, 1, now_ms + keep_ms)
    move_count(keys.stats, nil, 'finished', 1)
  else
    redis.call('HDEL', keys.jobs, ref)
  end
  move_count(keys.stats, nil, 'finished_total', 1)
end
