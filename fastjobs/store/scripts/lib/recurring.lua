-- The definition of a recurring job is "<version> <revision> <status> <due ms> <last due ms> <last run> <overlap>
-- <schedule>\n<body>". The first line is for scripts. Status is active or paused; only active definitions are in
-- `recurring_due`. A queue never uses a revision twice: a client that has read a definition can see whether it is still
-- the same. Last run is the job id of the run that was enqueued last, "-" before the first. Overlap is skip or allow.
-- Clients write the schedule and the body; scripts do not read them.

local function write_definition(id, definition)
  redis.call('HSET', keys.recurring, id, string.format('%s %s %s %.0f %.0f %s %s %s\n', definition.version,
    definition.revision, definition.status, definition.due_ms, definition.last_due_ms, definition.last_run,
    definition.overlap, definition.schedule) .. definition.body)
end

-- The definition, or nil; version and revision as text.
local function read_definition(id)
  local stored = redis.call('HGET', keys.recurring, id)
  if not stored then
    return nil
  end
  local version, revision, status, due_ms, last_due_ms, last_run, overlap, schedule, offset =
    string.match(stored, '^(%d+) (%d+) (%S+) (%d+) (%d+) (%S+) (%S+) ([^\n]*)\n()')
  return {
    version = version, revision = revision, status = status, due_ms = tonumber(due_ms),
    last_due_ms = tonumber(last_due_ms), last_run = last_run, overlap = overlap, schedule = schedule,
    body = string.sub(stored, offset),
  }
end
