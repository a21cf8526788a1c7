-- Removes the definition of a recurring job; runs that were enqueued before are jobs like any other and stay.
--
-- KEYS[1] recurring      {..}:recurring      hash  id -> definition
-- KEYS[2] recurring_due  {..}:recurring_due  zset  id -> next due instant (ms)
-- ARGV[1] id
-- ARGV[2] version   a definition of a higher one stays; -1 = whatever its version
-- Returns 1 removed, 0 there is none (or it stays). O(log definitions). Keeps: nothing fires without a definition.

-- @include lib/types
-- @include lib/recurring

local recurring, recurring_due = KEYS[1], KEYS[2]
local id, version = ARGV[1], tonumber(ARGV[2])
check_type('HLEN', recurring)
check_type('ZCARD', recurring_due)

local definition = read_definition(recurring, id)
if not definition or (version >= 0 and tonumber(definition.version) > version) then
  return 0
end
redis.call('ZREM', recurring_due, id)
redis.call('HDEL', recurring, id)
return 1
