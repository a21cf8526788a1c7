-- The marks of a chunk, or of a detached job by its ref, are "<done> <redeliveries> <finished> <keep ms> <detached>".
-- Done counts the jobs that have left the chunk or finished in it; finished counts those that finished in it and are
-- kept for keep ms. Redeliveries counts how often jobs of it came back from a dead session. Detached lists the indexes
-- of the jobs that left it, in order and separated by commas, neighbours as "<first>-<last>", or is "-". A chunk with
-- postponed spans has two more words: how many rounds of growing delays they have had, and their due times (ms),
-- separated by commas, the last one given first. Further words, behind these two, of which the second may be empty,
-- are those of a newer release, and are kept. A chunk that has ended has marks only if jobs were taken out of its
-- history.

-- @include lib/number

local function fresh_marks()
  return {
    exists = false, done = 0, redeliveries = 0, finished = 0, keep_ms = 0, detached = '-', rounds = 0, postponed = '',
    more = '',
  }
end

-- The marks of a chunk or a detached job; fresh ones if it has none, or none that can be read. Then its jobs go on, the
-- chunk stays when they have ended, and fsck rebuilds its marks from where the jobs are.
local function read_marks(id)
  local packed = redis.call('HGET', keys.marks, id)
  if not packed then
    return fresh_marks()
  end
  local done, redeliveries, finished, keep_ms, detached, rounds, postponed, more =
    string.match(packed, '^(%d+) (%d+) (%d+) (%d+) ([%d,-]+) ?(%d*) ?([%d,]*) ?(.*)$')
  local mark = {
    exists = true, done = number_in(done), redeliveries = number_in(redeliveries), finished = number_in(finished),
    keep_ms = number_in(keep_ms), detached = detached, rounds = number_in(rounds, 0), postponed = postponed,
    more = more,
  }
  if mark.done and mark.redeliveries and mark.finished and mark.keep_ms then
    return mark
  end
  return fresh_marks()
end

-- The first and last index of each run of detached jobs.
local function detached_runs(mark)
  local runs = {}
  for first, last in string.gmatch(mark.detached, '(%d+)%-?(%d*)') do
    runs[#runs + 1] = {tonumber(first), tonumber(last) or tonumber(first)}
  end
  return runs
end

-- Adds runs of jobs, each {first, last}, to the detached ones.
local function mark_detached(mark, left)
  local runs, parts = detached_runs(mark), {}
  for _, run in ipairs(left) do
    runs[#runs + 1] = run
  end
  table.sort(runs, function(one, other)
    return one[1] < other[1]
  end)
  local first, last = unpack(runs[1])
  for position = 2, #runs + 1 do
    local run = runs[position]
    if run and run[1] <= last + 1 then
      last = math.max(last, run[2])
    else
      parts[#parts + 1] = first == last and first or first .. '-' .. last
      first, last = unpack(run or {})
    end
  end
  mark.detached = table.concat(parts, ',')
end

local function is_detached(mark, index)
  for _, run in ipairs(detached_runs(mark)) do
    if run[1] <= index and index <= run[2] then
      return true
    end
  end
  return false
end

local function write_marks(id, mark)
  local packed = string.format('%d %d %d %.0f %s', mark.done, mark.redeliveries, mark.finished, mark.keep_ms,
    mark.detached)
  if mark.postponed ~= '' or mark.more ~= '' then
    packed = string.format('%s %d %s', packed, mark.rounds, mark.postponed)
  end
  redis.call('HSET', keys.marks, id, mark.more == '' and packed or packed .. ' ' .. mark.more)
end
