-- Finds out where a job is, wherever that may be.

-- The span of a chunk in which the job at an index waits: its member, first index and count, or nil. Spans of one chunk share
-- score and prefix (what stands before "~<first>+<count>") and stand side by side.
local function find_span(zset, score, prefix, index)
  local rank = rank_of(zset, score, prefix .. string.format('~%03d,', index)) - 1
  local found = rank >= 0 and redis.call('ZRANGE', zset, rank, rank)[1]
  if not found or string.sub(found, 1, #prefix + 1) ~= prefix .. '~' then
    return nil
  end
  local first, count = string.match(string.sub(found, #prefix + 1), '^~(%d+)%+(%d+)$')
  first, count = tonumber(first), tonumber(count)
  if not first or index < first or index >= first + count or tonumber(redis.call('ZSCORE', zset, found)) ~= tonumber(score) then
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
-- Postponed: the times until which spans of the chunk are postponed, as its marks have them.
local function locate_waiting(keys, id, score, sequence, n, index, postponed)
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
  local delayed_until = string.format('%.0f', tonumber(sequence, 16) / 1000)
  for due in string.gmatch(delayed_until .. ',' .. postponed, '%d+') do
    member, first, count = find_span(keys.scheduled, due, waiting, index)
    if member then
      return {state = 'scheduled', due_ms = tonumber(due), member = member, first = first, count = count}
    end
  end
  return {state = 'executing'}
end

-- Where the job at an index of a chunk is, nil when there is no such job (or it finished and is not kept). Beside state, due_ms, member, first and count as
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
  local mark = read_marks(keys.marks, id)
  if index >= n or is_detached(mark, index) then
    return nil
  end
  local times = finished_times(redis.call('HGET', keys.finished, id) or '', index)
  if times and mark.exists and mark.keep_ms == 0 then
    return nil
  end
  local job = times and {state = 'finished', times = times} or locate_waiting(keys, id, score, sequence, n, index, mark.postponed)
  job.ref, job.stored, job.score, job.sequence, job.n = ref, stored, score, sequence, n
  return job
end

-- The same for a job that may have to be the only one of its chunk: then the first of many is not the one meant.
local function locate_job(keys, id, index, alone)
  local job = locate(keys, id, index)
  if job and alone and job.n and job.n > 1 then
    return nil
  end
  return job
end
