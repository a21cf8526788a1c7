-- A chunk is stored as "<score> <sequence> <n> <packed chunk>". Its place in line and its number of jobs come first, so
-- that scripts can find each of its jobs without reading what the producer packed.

local function store_chunk(id, score, sequence, n, blob)
  redis.call('HSET', keys.chunks, id, string.format('%s %s %d ', score, sequence, n) .. blob)
end

-- Takes a stored chunk apart: score, sequence, number of jobs, and the offset of the packed chunk.
local function read_chunk(stored)
  local score, sequence, n, offset = string.match(stored, '^(%S+) (%x+) (%d+) ()')
  return score, sequence, tonumber(n), offset
end
