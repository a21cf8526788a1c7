-- The times of finished jobs in `finished`; `history` describes the segments.

-- @const SEGMENT_HEAD_BYTES
-- @const JOB_TIMES_BYTES

-- Takes the segment at a position apart: its first index, its number of jobs, and where its head, its times and the
-- next segment begin; nil behind the last one, and when it cannot be read.
local function parse_segment(segments, position)
  local first, count, head = string.match(segments, '^(%d+)%+(%d+) ()', position)
  local name_size = head and string.byte(segments, head + SEGMENT_HEAD_BYTES - 1)
  if not name_size then
    return nil
  end
  local times = head + SEGMENT_HEAD_BYTES + name_size
  local behind = times + tonumber(count) * JOB_TIMES_BYTES
  if behind <= #segments + 1 then
    return tonumber(first), tonumber(count), head, times, behind
  end
end

-- The head, the times of the segment's first job and those of the job at an index; nil when no segment has the job.
local function finished_times(segments, index)
  local position = 1
  while position do
    local first, count, head, times, behind = parse_segment(segments, position)
    if first and index >= first and index < first + count then
      local offset = times + (index - first) * JOB_TIMES_BYTES
      return {string.sub(segments, head, times - 1), string.sub(segments, times, times + JOB_TIMES_BYTES - 1),
        string.sub(segments, offset, offset + JOB_TIMES_BYTES - 1)}
    end
    position = behind
  end
  return nil
end

-- The same of a chunk that goes on.
local function finishing_times(id, index)
  local high, low = string.format('(%s~%03d,', id, index), '[' .. id .. '~'
  local member = redis.call('ZRANGE', keys.finishing, high, low, 'BYLEX', 'REV', 'LIMIT', 0, 1)[1]
  return member and finished_times(string.sub(member, #id + 2), index)
end

-- How many jobs are in the segments of a chunk.
local function finished_number(segments)
  local position, number = 1, 0
  while position do
    local _, count, _, _, behind = parse_segment(segments, position)
    number, position = number + (count or 0), behind
  end
  return number
end
