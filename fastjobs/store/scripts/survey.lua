-- Reads what a queue consists of, without the payload of chunks: one key in pages, or all keys in one step when they are
-- small; writes nothing.
--
-- KEYS[1..16]  all keys of the queue, in the order of ARGV[5..20]
-- ARGV[1] key        name of the key to read; '' = all of them
-- ARGV[2] cursor     from the page before; '0' = from the beginning
-- ARGV[3] count      about so many entries per page; the most entries of all keys together
-- ARGV[4] max_bytes  most bytes of all keys together
-- ARGV[5..20] names  of the keys
-- Returns {stillness, cursor, {field or member, value or score, ...}, bytes looked at} of a page, or {stillness, '', {..}, ...} of all keys in
-- their order; {stillness, 'large'} when they are too large. O(count). Keeps: what is read while the stillness stays the same
-- is what was there at one instant.

-- @include lib/types
-- @include lib/all_types
-- @include lib/stillness

local key, cursor, count, max_bytes = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local FIRST_NAME = 5
-- Of a stored chunk its place in line and the header of what the producer packed.
local HEADER_BYTES = 96
local LARGE = {chunks = true, jobs = true, leases = true, finished = true, recurring = true}

local keys = {}
for position = 1, #KEYS do
  keys[ARGV[FIRST_NAME + position - 1]] = KEYS[position]
end
check_types(keys)

local function scan(name, from)
  local kind = READING_COMMANDS[name]
  if kind == 'LLEN' then
    return '0', {}
  end
  local reply = redis.call(kind == 'HLEN' and 'HSCAN' or 'ZSCAN', keys[name], from, 'COUNT', count)
  local entries = reply[2]
  local bytes = 0
  for position = 2, #entries, 2 do
    bytes = bytes + #entries[position]
    if name == 'chunks' then
      entries[position] = string.sub(entries[position], 1, HEADER_BYTES)
    end
  end
  return reply[1], entries, bytes
end

local function is_small()
  local entries, bytes = 0, 0
  for name, stored in pairs(keys) do
    entries = entries + (name == 'wake' and 0 or redis.call(READING_COMMANDS[name], stored))
  end
  if entries > count then
    return false
  end
  for name, stored in pairs(keys) do
    for _, field in ipairs(LARGE[name] and redis.call('HKEYS', stored) or {}) do
      bytes = bytes + redis.call('HSTRLEN', stored, field)
    end
  end
  return bytes <= max_bytes
end

if key ~= '' then
  local next_cursor, entries, bytes = scan(key, cursor)
  return {stillness(keys.stats), next_cursor, entries, bytes}
end
if not is_small() then
  return {stillness(keys.stats), 'large'}
end
local reply = {stillness(keys.stats), ''}
for position = 1, #KEYS do
  local found, from = {}, '0'
  repeat
    local entries
    from, entries = scan(ARGV[FIRST_NAME + position - 1], from)
    for number = 1, #entries do
      found[#found + 1] = entries[number]
    end
  until from == '0'
  reply[#reply + 1] = found
end
return reply
