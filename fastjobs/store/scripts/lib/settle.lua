-- Ends jobs that have a record, or puts them in line; the record is as in `record`, without status, sequence and at_ms.

-- Ends a job as failed or cancelled.
local function put_ended(ref, record, status, now_ms)
  record.status, record.at_ms, record.sequence = status, now_ms, record.sequence or '0'
  write_record(ref, record)
  redis.call('ZADD', keys[status], string.format('%.0f', now_ms), ref)
  count_job(status, record.type, 1)
  move_count(nil, status .. '_total', 1)
end
