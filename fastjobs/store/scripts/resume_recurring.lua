-- Resumes a paused recurring job. Runs that were due during the pause are not made up for.
--
-- @keys recurring recurring_due stats
-- ARGV[1] id
-- ARGV[2] revision   of the paused definition that the caller read
-- ARGV[3] due_ms     its next due instant
-- Returns 1 when it is resumed (or not paused), 0 when there is no such definition, -1 when it was changed since the
-- caller read it.
-- O(log definitions). Keeps: an active definition has a due instant.

-- @include lib/read
-- @include lib/layout
-- @include lib/recurring
-- @include lib/revision

local id, revision, due_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])

-- @check
local definition = read_definition(id)
if not definition then
  return 0
end
if definition.status ~= 'paused' then
  return 1
end
if definition.revision ~= revision then
  return -1
end
definition.status, definition.revision, definition.due_ms = 'active', next_revision(), due_ms
write_definition(id, definition)
redis.call('ZADD', keys.recurring_due, string.format('%.0f', due_ms), id)
return 1
