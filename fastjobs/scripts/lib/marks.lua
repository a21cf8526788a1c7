-- The marks of a chunk (or of a detached job, by its ref): "<done> <redeliveries> <finished>". Done counts the jobs
-- that are no longer the chunk's business, finished those of them that finished in it; redeliveries is how
-- often jobs of it came back from a dead session.
local function read_marks(marks, id)
  local packed = redis.call('HGET', marks, id)
  if not packed then
    return 0, 0, 0
  end
  local done, redeliveries, finished = string.match(packed, '^(%d+) (%d+) (%d+)')
  return tonumber(done), tonumber(redeliveries), tonumber(finished)
end

local function write_marks(marks, id, done, redeliveries, finished)
  redis.call('HSET', marks, id, string.format('%d %d %d', done, redeliveries, finished))
end
