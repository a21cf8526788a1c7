-- The record of a detached job is "<status> <score> <sequence> <at ms> <operation> <type>\n<body>". The first line is
-- for scripts. Status is queued, scheduled, retrying, finished, failed or cancelled, or executing for a job still in
-- its chunk that is to be cancelled; a detached job keeps the status it was leased in while a worker executes it. At is
-- when the job is due, or when it ended. Operation is the id of the last operation, which makes a replay of it
-- harmless. Further words in the first line are those of a newer release, and are kept. Clients write the body; scripts
-- do not read it.

-- @include lib/number

local function write_record(ref, record)
  local line = string.format('%s %s %s %.0f %s %s%s\n', record.status, record.score, record.sequence, record.at_ms,
    record.operation, record.type, record.more or '')
  redis.call('HSET', keys.jobs, ref, line .. record.body)
end

-- @pattern RECORD ^(%S+) (<score>) (%x+) (%d+) (%S+) (%S*)([^\n]*)\n()
local STATUSES = {
  queued = true, scheduled = true, retrying = true, executing = true, finished = true, failed = true, cancelled = true,
}

-- The record of a detached job; nil when there is none, or its line cannot be read.
local function read_record(ref)
  local stored = redis.call('HGET', keys.jobs, ref)
  local status, score, sequence, at_ms, operation, job_type, more, offset =
    string.match(stored or '', RECORD)
  at_ms = number_in(at_ms)
  if STATUSES[status] and at_ms then
    return {
      status = status, score = score, sequence = sequence, at_ms = at_ms, operation = operation,
      type = job_type, more = more, body = string.sub(stored, offset),
    }
  end
end
