-- Writes repairs that were worked out from a survey, if no job has moved since.
--
-- @keys *
-- ARGV[1] stillness  as the survey returned it
-- ARGV[2] expected   number of expectations that follow, 3 arguments each:
--            name of a hash, field, its value
-- then writes, 4 arguments each:
--            set_hash, set_zset, remove_hash or remove_zset; name of the key; field or member; value or score ('' to
--            remove)
-- Returns the stillness afterwards, or '' when a job has moved or a field is not as expected: then nothing has changed.
-- O(writes log queue). Keeps: a repair is made of the contents it was worked out for, or not at all; sent again it is
-- refused or does the same.

-- @include lib/read
-- @include lib/layout
-- @include lib/full_server
-- @include lib/stillness

local EXPECTATION_WIDTH, WRITE_WIDTH, FIRST = 3, 4, 3
local expected = tonumber(ARGV[2])

-- @check
if stillness() ~= ARGV[1] then
  return ''
end
local position = FIRST
for _ = 1, expected do
  local name, field, value = unpack(ARGV, position, position + EXPECTATION_WIDTH - 1)
  if redis.call('HGET', keys[name], field) ~= value then
    return ''
  end
  position = position + EXPECTATION_WIDTH
end
run_when_full(keys.stats)
for write = position, #ARGV, WRITE_WIDTH do
  local action, name, field, value = unpack(ARGV, write, write + WRITE_WIDTH - 1)
  if action == 'set_hash' then
    redis.call('HSET', keys[name], field, value)
  elseif action == 'set_zset' then
    redis.call('ZADD', keys[name], value, field)
  elseif action == 'remove_hash' then
    redis.call('HDEL', keys[name], field)
  else
    redis.call('ZREM', keys[name], field)
  end
end
return stillness()
