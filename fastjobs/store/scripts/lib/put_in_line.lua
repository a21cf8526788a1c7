-- Puts a job that has a record in line: when it is due or, if that is in the past, at once. The record is as in
-- `record`, without status, sequence and at_ms; kind is "s" scheduled or "r" retrying.
local function put_in_line(ref, record, kind, due_ms, now_ms, now_us)
  if due_ms > now_ms then
    record.status, record.at_ms = kind == 'r' and 'retrying' or 'scheduled', due_ms
    record.sequence = due_sequence(due_ms)
    redis.call('ZADD', keys.scheduled, string.format('%.0f', due_ms),
      scheduled_member(kind, record.score, record.sequence .. ref))
  else
    record.status, record.at_ms, record.sequence = 'queued', now_ms, next_sequence(now_us)
    redis.call('ZADD', keys.ready, record.score, record.sequence .. ref)
    wake_one(1)
  end
  write_record(ref, record)
  move_count(nil, record.status, 1)
end
