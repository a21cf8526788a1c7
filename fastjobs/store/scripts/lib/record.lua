-- The record of a detached job is "<status> <score> <sequence> <at ms> <operation> <type>\n<body>". The first line is
-- for scripts. Status is queued, scheduled, retrying, finished, failed or cancelled, or executing for a job still in
-- its chunk that is to be cancelled; a detached job keeps the status it was leased in while a worker executes it. At is
-- when the job is due, or when it ended. Operation is the id of the last operation, which makes a replay of it
-- harmless. Further words in the first line are those of a newer release, and are kept. Clients write the body; scripts
-- do not read it.

local function write_record(ref, record)
  local line = string.format('%s %s %s %.0f %s %s%s\n', record.status, record.score, record.sequence, record.at_ms,
    record.operation, record.type, record.more or '')
  redis.call('HSET', keys.jobs, ref, line .. record.body)
end

-- The record of a detached job, or nil.
local function read_record(ref)
  local stored = redis.call('HGET', keys.jobs, ref)
  if not stored then
    return nil
  end
  local status, score, sequence, at_ms, operation, job_type, more, offset =
    string.match(stored, '^(%S+) (%S+) (%x+) (%d+) (%S+) (%S*)([^\n]*)\n()')
  return {
    status = status, score = score, sequence = sequence, at_ms = tonumber(at_ms), operation = operation,
    type = job_type, more = more, body = string.sub(stored, offset),
  }
end
