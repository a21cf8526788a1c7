-- Returns leased jobs that have not started. Those in `cancelling` end as cancelled instead; `cancel` has written their
-- records.

-- @include lib/cancelling

local function cancel_leased(entry, index, now_ms)
  local ref = job_ref(entry.id, index)
  local record = read_record(ref)
  redis.call('ZREM', keys.cancelling, ref)
  put_ended(ref, record, 'cancelled', now_ms)
  if entry.detached then
    redis.call('HDEL', keys.marks, ref)
  else
    local _, _, n = read_chunk(redis.call('HGET', keys.chunks, entry.id))
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
    put_span(index)
    cancel_leased(entry, index, now_ms)
  end)
  put_span(first + count)
  move_count(nil, status, returned)
  move_count('executing', nil, count)
  return returned
end
