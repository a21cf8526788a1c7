-- A chunk is stored as "<score> <sequence> <n>", a line end, and the packed chunk. Its place in line and its number of
-- jobs come first, so that scripts can find each of its jobs without reading what the producer packed. Further words in
-- the line are those of a newer release.

local function chunk_value(score, sequence, n, blob)
  return string.format('%s %s %d\n', score, sequence, n) .. blob
end

-- Takes a stored chunk apart: score, sequence, number of jobs, and the offset of the packed chunk.
local function read_chunk(stored)
  local score, sequence, n, offset = string.match(stored, '^(%S+) (%x+) (%d+)[^\n]*\n()')
  return score, sequence, tonumber(n), offset
end
