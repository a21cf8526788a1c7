-- A chunk is stored as "<score> <sequence> <n>", a line end, and the packed chunk. Its place in line and its number of
-- jobs come first, so that scripts can find each of its jobs without reading what the producer packed. Further words in
-- the line are those of a newer release.

local function chunk_value(score, sequence, n, blob)
  return string.format('%s %s %d\n', score, sequence, n) .. blob
end

-- @const MAX_CHUNK_JOBS
-- @pattern CHUNK ^(<score>) (<sequence>) (%d+)[^\n]*\n()

-- Takes a stored chunk apart: score, sequence, number of jobs, and the offset of the packed chunk; nil when there is
-- none, or its line cannot be read.
local function read_chunk(stored)
  local score, sequence, number, offset = string.match(stored or '', CHUNK)
  local n = tonumber(number)
  if n and n > 0 and n <= MAX_CHUNK_JOBS then
    return score, sequence, n, offset
  end
end
