-- The marks of a chunk, or of a detached job by its ref, are "<done> <redeliveries> <finished> <keep ms> <detached>".
-- Done counts the jobs that have left the chunk or finished in it; finished counts those that finished in it and are
-- kept for keep ms. Redeliveries counts how often jobs of it came back from a dead session. Detached lists the indexes
-- of the jobs that left it, separated by commas, or is "-". A chunk with postponed spans has two more words: how many
-- rounds of growing delays they have had, and their due times (ms), separated by commas, the last one given first.
-- Further words, behind these two, of which the second may be empty, are those of a newer release, and are kept. A
-- chunk that has ended has marks only if jobs were taken out of its history.

local function fresh_marks()
  return {
    exists = false, done = 0, redeliveries = 0, finished = 0, keep_ms = 0, detached = '-', rounds = 0, postponed = '',
    more = '',
  }
end

local function read_marks(id)
  local packed = redis.call('HGET', keys.marks, id)
  if not packed then
    return fresh_marks()
  end
  local done, redeliveries, finished, keep_ms, detached, rounds, postponed, more =
    string.match(packed, '^(%d+) (%d+) (%d+) (%d+) (%S+) ?(%d*) ?([%d,]*) ?(.*)$')
  return {
    exists = true, done = tonumber(done), redeliveries = tonumber(redeliveries), finished = tonumber(finished),
    keep_ms = tonumber(keep_ms), detached = detached, rounds = tonumber(rounds) or 0, postponed = postponed,
    more = more,
  }
end

local function mark_detached(mark, index)
  mark.detached = mark.detached == '-' and tostring(index) or mark.detached .. ',' .. index
end

local function is_detached(mark, index)
  return string.find(',' .. mark.detached .. ',', ',' .. index .. ',', 1, true) ~= nil
end

local function write_marks(id, mark)
  local packed = string.format('%d %d %d %.0f %s', mark.done, mark.redeliveries, mark.finished, mark.keep_ms,
    mark.detached)
  if mark.postponed ~= '' or mark.more ~= '' then
    packed = string.format('%s %d %s', packed, mark.rounds, mark.postponed)
  end
  redis.call('HSET', keys.marks, id, mark.more == '' and packed or packed .. ' ' .. mark.more)
end
