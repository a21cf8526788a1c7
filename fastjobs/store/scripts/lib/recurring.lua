-- The definition of a recurring job is "<version> <revision> <status> <due ms> <last due ms> <last run> <overlap>
-- <schedule>\n<body>". The first line is for scripts. Status is active or paused; only active definitions are in
-- `recurring_due`. A queue never uses a revision twice: a client that has read a definition can see whether it is still
-- the same. Last run is the job id of the run that was enqueued last, "-" before the first. Overlap is skip or allow.
-- Clients write the schedule and the body; scripts do not read them.

-- @include lib/number

local function write_definition(id, definition)
  redis.call('HSET', keys.recurring, id, string.format('%s %s %s %.0f %.0f %s %s %s\n', definition.version,
    definition.revision, definition.status, definition.due_ms, definition.last_due_ms, definition.last_run,
    definition.overlap, definition.schedule) .. definition.body)
end

-- The definition; nil when there is none, or its line cannot be read. Version and revision as text.
local function read_definition(id)
  local stored = redis.call('HGET', keys.recurring, id)
  local version, revision, status, due_ms, last_due_ms, last_run, overlap, schedule, offset =
    string.match(stored or '', '^(%d+) (%d+) (%S+) (%d+) (%d+) (%S+) (%S+) ([^\n]*)\n()')
  due_ms, last_due_ms = number_in(due_ms), number_in(last_due_ms)
  if due_ms and last_due_ms and (status == 'active' or status == 'paused') then
    return {
      version = version, revision = revision, status = status, due_ms = due_ms, last_due_ms = last_due_ms,
      last_run = last_run, overlap = overlap, schedule = schedule, body = string.sub(stored, offset),
    }
  end
end
