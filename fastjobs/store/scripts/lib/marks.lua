-- The marks of a chunk (or of a detached job, by its ref): "<done> <redeliveries> <finished> <keep ms> <detached>", and, for
-- a chunk of which spans were postponed, the times (ms, separated by commas) until which they are. Done
-- counts the jobs that are no longer the chunk's business, finished those of them that finished in it and are kept for
-- keep ms; redeliveries is how often jobs of it came back from a dead session; detached is "-" or the indexes of the jobs
-- that left it, separated by commas. An ended chunk has marks only while some of its history was taken out of it.
local function fresh_marks()
  return {exists = false, done = 0, redeliveries = 0, finished = 0, keep_ms = 0, detached = '-', postponed = ''}
end

local function read_marks(marks, id)
  local packed = redis.call('HGET', marks, id)
  if not packed then
    return fresh_marks()
  end
  local done, redeliveries, finished, keep_ms, detached, postponed =
    string.match(packed, '^(%d+) (%d+) (%d+) (%d+) (%S+) ?(%S*)')
  return {
    exists = true, done = tonumber(done), redeliveries = tonumber(redeliveries), finished = tonumber(finished),
    keep_ms = tonumber(keep_ms), detached = detached, postponed = postponed,
  }
end

local function mark_detached(mark, index)
  mark.detached = mark.detached == '-' and tostring(index) or mark.detached .. ',' .. index
end

local function is_detached(mark, index)
  return string.find(',' .. mark.detached .. ',', ',' .. index .. ',', 1, true) ~= nil
end

local function write_marks(marks, id, mark)
  local packed = string.format('%d %d %d %.0f %s', mark.done, mark.redeliveries, mark.finished, mark.keep_ms, mark.detached)
  redis.call('HSET', marks, id, mark.postponed == '' and packed or packed .. ' ' .. mark.postponed)
end
