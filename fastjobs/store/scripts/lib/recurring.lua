-- The definition of a recurring job: "<version> <revision> <state> <due ms> <last due ms> <last run> <overlap>
-- <schedule>\n<body>". The first line is for scripts. State is active or paused, and only an active definition is in
-- `recurring_due`. A revision is never used twice in a queue, so that one who read a definition can tell that it is
-- still the same. Last run is the job id of the last run that was enqueued, "-" before the first. Overlap is skip or
-- allow. The schedule and the body are the client's and opaque here.

local function write_definition(recurring, id, definition)
  redis.call('HSET', recurring, id, string.format('%s %s %s %.0f %.0f %s %s %s\n', definition.version,
    definition.revision, definition.state, definition.due_ms, definition.last_due_ms, definition.last_run,
    definition.overlap, definition.schedule) .. definition.body)
end

-- The definition, or nil; version and revision as text.
local function read_definition(recurring, id)
  local stored = redis.call('HGET', recurring, id)
  if not stored then
    return nil
  end
  local version, revision, state, due_ms, last_due_ms, last_run, overlap, schedule, offset =
    string.match(stored, '^(%d+) (%d+) (%S+) (%d+) (%d+) (%S+) (%S+) ([^\n]*)\n()')
  return {
    version = version, revision = revision, state = state, due_ms = tonumber(due_ms),
    last_due_ms = tonumber(last_due_ms), last_run = last_run, overlap = overlap, schedule = schedule,
    body = string.sub(stored, offset),
  }
end

-- Gives a revision that was not used before.
local function next_revision(stats)
  return string.format('%d', redis.call('HINCRBY', stats, 'recurring_revision', 1))
end
