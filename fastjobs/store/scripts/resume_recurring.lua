-- Resumes a paused recurring job; what was due during the pause is not made up for.
--
-- KEYS[1] recurring      {..}:recurring      hash  id -> definition
-- KEYS[2] recurring_due  {..}:recurring_due  zset  id -> next due instant (ms)
-- KEYS[3] stats          {..}:stats          hash  recurring_revision
-- ARGV[1] id
-- ARGV[2] revision   of the paused definition that the caller read
-- ARGV[3] due_ms     its next due instant
-- Returns 1 resumed (or not paused), 0 there is no such definition, -1 it was changed since the caller read it.
-- O(log definitions). Keeps: an active definition has a due instant.

-- @include lib/types
-- @include lib/recurring

local recurring, recurring_due, stats = KEYS[1], KEYS[2], KEYS[3]
local id, revision, due_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
check_type('HLEN', recurring, stats)
check_type('ZCARD', recurring_due)

local definition = read_definition(recurring, id)
if not definition then
  return 0
end
if definition.state ~= 'paused' then
  return 1
end
if definition.revision ~= revision then
  return -1
end
definition.state, definition.revision, definition.due_ms = 'active', next_revision(stats), due_ms
write_definition(recurring, id, definition)
redis.call('ZADD', recurring_due, string.format('%.0f', due_ms), id)
return 1
