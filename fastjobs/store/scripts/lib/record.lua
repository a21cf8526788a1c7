-- The record of a detached job: "<state> <score> <sequence> <at ms> <operation> <type>\n<body>". The first line is for
-- scripts: where the job is. State is queued, scheduled, retrying, finished, failed or cancelled, or executing for a
-- job still in its chunk that is to be cancelled; a detached job that is being executed keeps the state it was leased in.
-- At is when it is due, or ended. Operation is the id of the last operation, which makes a replay of it harmless. The
-- body is the client's and opaque here.

local function write_record(jobs, ref, record)
  redis.call('HSET', jobs, ref, string.format('%s %s %s %.0f %s %s\n', record.state, record.score, record.sequence,
    record.at_ms, record.operation, record.type) .. record.body)
end

-- The record of a detached job, or nil.
local function read_record(jobs, ref)
  local stored = redis.call('HGET', jobs, ref)
  if not stored then
    return nil
  end
  local state, score, sequence, at_ms, operation, type, offset =
    string.match(stored, '^(%S+) (%S+) (%x+) (%d+) (%S+) (%S*)\n()')
  return {
    state = state, score = score, sequence = sequence, at_ms = tonumber(at_ms), operation = operation, type = type,
    body = string.sub(stored, offset),
  }
end
