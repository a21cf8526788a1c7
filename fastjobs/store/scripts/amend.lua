-- Writes repairs that were worked out from a survey, if no job has moved since.
--
-- KEYS[1..16]  all keys of the queue
-- ARGV[1] stillness  as the survey told it
-- ARGV[2] expected   number of expectations that follow, 3 arguments each:
--            number of a hash in KEYS, field, its value
-- then writes, 4 arguments each:
--            set or remove, number of a hash or sorted set in KEYS, field or member, value or score ('' to remove)
-- Returns the stillness afterwards, or '' when a job has moved or a field is not as expected: then nothing has changed.
-- O(writes log queue). Keeps: a repair is made of the state it was worked out for, or not at all; sent again it is refused or
-- does the same.

-- @include lib/types
-- @include lib/all_types
-- @include lib/full_server
-- @include lib/stillness

local expected = tonumber(ARGV[2])
local EXPECTATION_WIDTH, WRITE_WIDTH = 3, 4
local stats
for _, key in ipairs(KEYS) do
  local name = string.match(key, ':([%a_]+)$')
  check_type(READING_COMMANDS[name], key)
  if name == 'stats' then
    stats = key
  end
end
if stillness(stats) ~= ARGV[1] then
  return ''
end
local position = 3
for _ = 1, expected do
  local number, field, value = unpack(ARGV, position, position + EXPECTATION_WIDTH - 1)
  if redis.call('HGET', KEYS[tonumber(number)], field) ~= value then
    return ''
  end
  position = position + EXPECTATION_WIDTH
end
run_when_full(stats)
for write = position, #ARGV, WRITE_WIDTH do
  local action, number, field, value = unpack(ARGV, write, write + WRITE_WIDTH - 1)
  local key, kind = KEYS[tonumber(number)], string.sub(action, -4)
  if action == 'set_hash' then
    redis.call('HSET', key, field, value)
  elseif action == 'set_zset' then
    redis.call('ZADD', key, value, field)
  elseif kind == 'hash' then
    redis.call('HDEL', key, field)
  else
    redis.call('ZREM', key, field)
  end
end
return stillness(stats)
