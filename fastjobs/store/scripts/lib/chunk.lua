-- A chunk is stored as "<score> <sequence> <n> <packed chunk>": its place in line and its number of jobs come
-- first, so that any of its jobs can be found without reading what the producer packed.

local function store_chunk(chunks, id, score, sequence, n, blob)
  redis.call('HSET', chunks, id, string.format('%s %s %d ', score, sequence, n) .. blob)
end

-- The score, sequence, number of jobs and offset of the packed chunk in what is stored.
local function read_chunk(stored)
  local score, sequence, n, offset = string.match(stored, '^(%S+) (%x+) (%d+) ()')
  return score, sequence, tonumber(n), offset
end
