-- Returns leased jobs that have not started. Those in `cancelling` end as cancelled instead; `cancel` has written their
-- records.

-- @include lib/cancelling

local function cancel_leased(entry, index, record, now_ms)
  local ref = job_ref(entry.id, index)
  local _, _, n = read_chunk(redis.call('HGET', keys.chunks, entry.id))
  redis.call('ZREM', keys.cancelling, ref)
  put_ended(ref, record, 'cancelled', now_ms)
  if entry.detached then
    redis.call('HDEL', keys.marks, ref)
  elseif n then
    chunk_left(entry.id, n, {index}, now_ms)
  end
end

-- Ends those jobs of a lease entry that are to be cancelled. Calls put(ref, first, count) for each span of the others,
-- which then have the status given; returns their number.
local function return_jobs(entry, first, count, now_ms, status, put)
  local returned, from = 0, first
  local function put_span(stop)
    if stop > from then
      put(span_ref(entry.ref, entry.id, from, stop - from))
      returned = returned + stop - from
    end
    from = stop + 1
  end
  visit_cancelling(entry.id, first, count, function(index)
    -- A request without a record that can be read stays for fsck, and the job goes back.
    local record = read_record(job_ref(entry.id, index))
    if record then
      put_span(index)
      cancel_leased(entry, index, record, now_ms)
    end
  end)
  put_span(first + count)
  move_count(nil, status, returned)
  move_count('executing', nil, count)
  return returned
end
