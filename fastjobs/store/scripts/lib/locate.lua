-- Finds a job, in whichever key it is.

-- @include lib/job_ref

-- When a delayed job with this sequence is due (ms).
local function sequence_due_ms(sequence)
  return tonumber(sequence, 16) / US_PER_MS
end

-- The span of a chunk in which the job at an index waits: its member, first index and count; nil when there is none.
-- The refs of one chunk with one place share score and prefix (the member up to "~") and stand side by side, by index.
local function find_span(zset, score, prefix, index)
  local rank = rank_of(zset, score, prefix .. string.format('~%03d,', index)) - 1
  local found = rank >= 0 and redis.call('ZRANGE', zset, rank, rank)[1]
  if not found or string.sub(found, 1, #prefix + 1) ~= prefix .. '~' then
    return nil
  end
  local first, count = string.match(string.sub(found, #prefix + 1), '^~(%d%d%d)%+(%d%d?%d?%d?)$')
  first, count = tonumber(first), tonumber(count)
  if not first or index < first or index >= first + count then
    return nil
  end
  if tonumber(redis.call('ZSCORE', zset, found)) ~= tonumber(score) then
    return nil
  end
  return found, first, count
end

-- Where a detached job is: {status, due_ms, member}. A job that is in no line is being executed.
local function locate_detached(ref, record)
  if record.status ~= 'queued' and record.status ~= 'scheduled' and record.status ~= 'retrying' then
    return {status = record.status}
  end
  local member = record.sequence .. ref
  local waiting = scheduled_member(record.status == 'retrying' and 'r' or 's', record.score, member)
  local due_ms = redis.call('ZSCORE', keys.scheduled, waiting)
  if due_ms then
    return {status = record.status, due_ms = tonumber(due_ms), member = waiting}
  end
  if redis.call('ZSCORE', keys.ready, member) then
    return {status = 'queued', member = member}
  end
  return {status = 'executing'}
end

-- Where a job in its chunk waits: {status, due_ms, member, first, count}; first and count are those of its span.
-- Postponed lists the times until which spans of the chunk are postponed, as in its marks.
local function locate_waiting(id, score, sequence, n, index, postponed)
  local prefix = sequence .. id
  local waiting = scheduled_member('s', score, prefix)
  if n == 1 then
    local due_ms = redis.call('ZSCORE', keys.scheduled, waiting)
    if due_ms then
      return {status = 'scheduled', due_ms = tonumber(due_ms), member = waiting, first = 0, count = 1}
    end
    if redis.call('ZSCORE', keys.ready, prefix) then
      return {status = 'queued', member = prefix, first = 0, count = 1}
    end
    return {status = 'executing'}
  end
  local member, first, count = find_span(keys.ready, score, prefix, index)
  if member then
    return {status = 'queued', member = member, first = first, count = count}
  end
  local delayed_until = string.format('%.0f', sequence_due_ms(sequence))
  for due in string.gmatch(delayed_until .. ',' .. postponed, '%d+') do
    member, first, count = find_span(keys.scheduled, due, waiting, index)
    if member then
      return {status = 'scheduled', due_ms = tonumber(due), member = member, first = first, count = count}
    end
  end
  return {status = 'executing'}
end

-- The job at an index of a chunk; nil when there is no such job that can be read, or it finished and is not kept.
-- Beside status, due_ms, member, first and count as above it has: ref; record, if it is detached, else stored, score,
-- sequence and n of its chunk; and times, if it finished in its chunk.
local function locate(id, index)
  local ref = job_ref(id, index)
  local record = read_record(ref)
  if record and record.status ~= 'executing' then
    local job = locate_detached(ref, record)
    job.ref, job.record = ref, record
    return job
  end
  local stored = redis.call('HGET', keys.chunks, id)
  if not stored then
    return nil
  end
  local score, sequence, n = read_chunk(stored)
  if not n or index >= n then
    return nil
  end
  local mark = read_marks(id)
  if is_detached(mark, index) then
    return nil
  end
  local times = finished_times(redis.call('HGET', keys.finished, id) or '', index)
    or (mark.exists and finishing_times(id, index))
  if times and mark.exists and mark.keep_ms == 0 then
    return nil
  end
  local job = times and {status = 'finished', times = times}
    or locate_waiting(id, score, sequence, n, index, mark.postponed)
  job.ref, job.stored, job.score, job.sequence, job.n = ref, stored, score, sequence, n
  return job
end

-- The same; nil also when the job has to be the only one of its chunk (`alone`) and is not.
local function locate_job(id, index, alone)
  local job = locate(id, index)
  if job and alone and job.n and job.n > 1 then
    return nil
  end
  return job
end
