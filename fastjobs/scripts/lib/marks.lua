-- The marks of a chunk (or of a detached job, by its ref): "<done> <redeliveries>", where done counts the
-- jobs that are no longer the chunk's business and redeliveries how often jobs of it came back unasked.
local function read_marks(marks, id)
  local packed = redis.call('HGET', marks, id)
  if not packed then
    return 0, 0
  end
  local done, redeliveries = string.match(packed, '^(%d+) (%d+)')
  return tonumber(done), tonumber(redeliveries)
end

local function write_marks(marks, id, done, redeliveries)
  redis.call('HSET', marks, id, done .. ' ' .. redeliveries)
end
