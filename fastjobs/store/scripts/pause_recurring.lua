-- Pauses a recurring job: it is not due until it is resumed.
--
-- KEYS[1] recurring      {..}:recurring      hash  id -> definition
-- KEYS[2] recurring_due  {..}:recurring_due  zset  id -> next due instant (ms)
-- KEYS[3] stats          {..}:stats          hash  recurring_revision
-- ARGV[1] id
-- Returns 1 paused (or paused before), 0 there is no such definition.
-- O(log definitions). Keeps: runs that were enqueued before; the rhythm, as the due instant stays stored.

-- @include lib/types
-- @include lib/recurring

local recurring, recurring_due, stats = KEYS[1], KEYS[2], KEYS[3]
local id = ARGV[1]
check_type('HLEN', recurring, stats)
check_type('ZCARD', recurring_due)

local definition = read_definition(recurring, id)
if not definition then
  return 0
end
if definition.state ~= 'paused' then
  redis.call('ZREM', recurring_due, id)
  definition.state, definition.revision = 'paused', next_revision(stats)
  write_definition(recurring, id, definition)
end
return 1
