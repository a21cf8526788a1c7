-- Finds out where a job is, wherever that may be.

-- Whether one member of a sorted set stands before another of the same score: as bytes, which Lua's own `<` is not.
local function is_before(one, other)
  for position = 1, math.min(#one, #other) do
    local left, right = string.byte(one, position), string.byte(other, position)
    if left ~= right then
      return left < right
    end
  end
  return #one < #other
end

-- The span of a chunk in which the job at an index waits: its member, first index and count, or nil. Spans of one chunk share
-- score and prefix (what stands before "~<first>+<count>") and stand side by side, so halving finds them.
local function find_span(zset, score, prefix, index)
  local target = prefix .. string.format('~%03d,', index)
  local low = redis.call('ZCOUNT', zset, '-inf', '(' .. score)
  local high = low + redis.call('ZCOUNT', zset, score, score) - 1
  local found
  while low <= high do
    local middle = math.floor((low + high) / 2)
    local member = redis.call('ZRANGE', zset, middle, middle)[1]
    if is_before(member, target) then
      found, low = member, middle + 1
    else
      high = middle - 1
    end
  end
  if not found or string.sub(found, 1, #prefix + 1) ~= prefix .. '~' then
    return nil
  end
  local first, count = string.match(string.sub(found, #prefix + 1), '^~(%d+)%+(%d+)$')
  first, count = tonumber(first), tonumber(count)
  if not first or index >= first + count then
    return nil
  end
  return found, first, count
end

-- Where a detached job is: {state, due_ms}; one that is in no line is being executed.
local function locate_detached(keys, ref, record)
  if record.state ~= 'queued' and record.state ~= 'scheduled' and record.state ~= 'retrying' then
    return {state = record.state}
  end
  local member = record.sequence .. ref
  local waiting = scheduled_member(record.state == 'retrying' and 'r' or 's', record.score, member)
  local due_ms = redis.call('ZSCORE', keys.scheduled, waiting)
  if due_ms then
    return {state = record.state, due_ms = tonumber(due_ms), member = waiting}
  end
  if redis.call('ZSCORE', keys.ready, member) then
    return {state = 'queued', member = member}
  end
  return {state = 'executing'}
end

-- Where a job in its chunk waits: {state, due_ms, member, first, count}; first and count are of the span it waits in.
local function locate_waiting(keys, id, score, sequence, n, index)
  local prefix = sequence .. id
  local waiting = scheduled_member('s', score, prefix)
  if n == 1 then
    local due_ms = redis.call('ZSCORE', keys.scheduled, waiting)
    if due_ms then
      return {state = 'scheduled', due_ms = tonumber(due_ms), member = waiting, first = 0, count = 1}
    end
    if redis.call('ZSCORE', keys.ready, prefix) then
      return {state = 'queued', member = prefix, first = 0, count = 1}
    end
    return {state = 'executing'}
  end
  local member, first, count = find_span(keys.ready, score, prefix, index)
  if member then
    return {state = 'queued', member = member, first = first, count = count}
  end
  -- The sequence of a chunk that was delayed is its due time.
  local due_ms = tonumber(sequence, 16) / 1000
  member, first, count = find_span(keys.scheduled, string.format('%.0f', due_ms), waiting, index)
  if member then
    return {state = 'scheduled', due_ms = due_ms, member = member, first = first, count = count}
  end
  return {state = 'executing'}
end

-- Where the job at an index of a chunk is, nil when there is no such job. Beside state, due_ms, member, first and count as
-- above: ref, record (of a detached job), or stored, score, sequence and n (of its chunk), and times (of a finished one).
local function locate(keys, id, index)
  local ref = id .. '~' .. index
  local record = read_record(keys.jobs, ref)
  if record and record.state ~= 'executing' then
    local job = locate_detached(keys, ref, record)
    job.ref, job.record = ref, record
    return job
  end
  local stored = redis.call('HGET', keys.chunks, id)
  if not stored then
    return nil
  end
  local score, sequence, n = read_chunk(stored)
  local detached = ',' .. read_marks(keys.marks, id).detached .. ','
  if index >= n or string.find(detached, ',' .. index .. ',', 1, true) then
    return nil
  end
  local times = finished_times(redis.call('HGET', keys.finished, id) or '', index)
  local job = times and {state = 'finished', times = times} or locate_waiting(keys, id, score, sequence, n, index)
  job.ref, job.stored, job.score, job.sequence, job.n = ref, stored, score, sequence, n
  return job
end
