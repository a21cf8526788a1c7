-- Removes the definition of a recurring job. Runs that were enqueued before are jobs like any other and stay.
--
-- @keys recurring recurring_due stats
-- ARGV[1] id
-- ARGV[2] version   a definition of a higher version stays; -1 = remove any version
-- Returns 1 when it is removed, 0 when there is none or it stays.
-- O(log definitions). Keeps: nothing fires without a definition.

-- @include lib/read
-- @include lib/layout
-- @include lib/recurring

local id, version = ARGV[1], tonumber(ARGV[2])

-- @check
local definition = read_definition(id)
-- One that cannot be read can be removed as well.
if definition and version >= 0 and tonumber(definition.version) > version then
  return 0
end
redis.call('ZREM', keys.recurring_due, id)
return redis.call('HDEL', keys.recurring, id)
