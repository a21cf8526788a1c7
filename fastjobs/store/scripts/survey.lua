-- Reads the contents of a queue without the payload of chunks: one key in pages, or all keys in one step when they are
-- small; writes nothing.
--
-- @keys *
-- ARGV[1] key        name of the key to read; '' = all of them
-- ARGV[2] cursor     from the page before; '0' = from the beginning
-- ARGV[3] count      about so many entries per page; the most entries of all keys together
-- ARGV[4] max_bytes  most bytes of all keys together
-- Returns {stillness, cursor, {field or member, value or score, ...}, bytes looked at} of a page, or
-- {stillness, '', {..}, ...} of all keys in their order; {stillness, 'large'} when they are too large.
-- O(count). Keeps: everything that is read while the stillness stays the same was there at one instant.

-- @include lib/read
-- @include lib/layout
-- @include lib/stillness

-- @declared
local wanted, cursor, count, max_bytes = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local SCAN = {hash = 'HSCAN', zset = 'ZSCAN'}
local SIZE = {hash = 'HLEN', zset = 'ZCARD'}
-- Of a stored chunk, its place in line and the header of the packed chunk.
local HEADER_BYTES = 96

-- @check

-- Reads a page of a key: the next cursor, its entries, and how many bytes their values have. A list has none.
local function scan(name, type_name, from)
  if not SCAN[type_name] then
    return '0', {}, 0
  end
  local reply = redis.call(SCAN[type_name], keys[name], from, 'COUNT', count)
  local entries, bytes = reply[2], 0
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
  for _, key in ipairs(declared) do
    entries = entries + (SIZE[key.type] and redis.call(SIZE[key.type], keys[key.name]) or 0)
  end
  if entries > count then
    return false
  end
  for _, key in ipairs(declared) do
    for _, field in ipairs(key.large and redis.call('HKEYS', keys[key.name]) or {}) do
      bytes = bytes + redis.call('HSTRLEN', keys[key.name], field)
    end
  end
  return bytes <= max_bytes
end

if wanted ~= '' then
  for _, key in ipairs(declared) do
    if key.name == wanted then
      return {stillness(), scan(wanted, key.type, cursor)}
    end
  end
end
if not is_small() then
  return {stillness(), 'large'}
end
local reply = {stillness(), ''}
for _, key in ipairs(declared) do
  local found, from = {}, '0'
  repeat
    local entries
    from, entries = scan(key.name, key.type, from)
    for number = 1, #entries do
      found[#found + 1] = entries[number]
    end
  until from == '0'
  reply[#reply + 1] = found
end
return reply
