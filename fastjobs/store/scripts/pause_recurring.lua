-- Pauses a recurring job: it is not due until it is resumed.
--
-- @keys recurring recurring_due stats
-- ARGV[1] id
-- Returns 1 when it is paused (now, or already), 0 when there is no such definition.
-- O(log definitions). Keeps: runs that were enqueued before; the rhythm, as the due instant stays stored.

-- @include lib/read
-- @include lib/layout
-- @include lib/recurring
-- @include lib/revision

local id = ARGV[1]

-- @check
local definition = read_definition(id)
if not definition then
  return 0
end
if definition.status ~= 'paused' then
  redis.call('ZREM', keys.recurring_due, id)
  definition.status, definition.revision = 'paused', next_revision()
  write_definition(id, definition)
end
return 1
