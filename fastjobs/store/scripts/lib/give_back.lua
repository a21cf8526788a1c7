-- Leased jobs that return unstarted. `cancelling` holds the refs of executing jobs that are to be cancelled: those end
-- instead of returning; their record was written when the cancellation was asked for.

local function cancel_leased(keys, entry, index, now_ms)
  local ref = entry.id .. '~' .. index
  local record = read_record(keys.jobs, ref)
  redis.call('ZREM', keys.cancelling, ref)
  put_ended(keys, ref, record, 'cancelled', now_ms)
  if entry.detached then
    redis.call('HDEL', keys.marks, ref)
  else
    local _, _, n = read_chunk(redis.call('HGET', keys.chunks, entry.id))
    chunk_detached(keys, entry.id, n, index, now_ms)
  end
end

-- Ends those of the jobs of a lease entry that are to be cancelled, and calls put(ref, first, count) for each run of
-- the others, which then have the status given; returns how many those are.
local function return_jobs(keys, entry, first, count, now_ms, status, put)
  local returned, run = 0, first
  local function put_run(stop)
    if stop > run then
      put(span_ref(entry.ref, entry.id, run, stop - run), run, stop - run)
      returned = returned + stop - run
    end
    run = stop + 1
  end
  if redis.call('ZCARD', keys.cancelling) > 0 then
    for index = first, first + count - 1 do
      if redis.call('ZSCORE', keys.cancelling, entry.id .. '~' .. index) then
        put_run(index)
        cancel_leased(keys, entry, index, now_ms)
      end
    end
  end
  put_run(first + count)
  move_count(keys.stats, nil, status, returned)
  move_count(keys.stats, 'executing', nil, count)
  return returned
end

-- Puts jobs of a lease entry back into `ready` at the place they came from; returns how many (the others were cancelled).
local function put_back(keys, entry, first, count, now_ms)
  return return_jobs(keys, entry, first, count, now_ms, 'queued', function(ref)
    redis.call('ZADD', keys.ready, entry.score, entry.sequence .. ref)
  end)
end

-- Gives back everything the session holds, in steps of about `limit` refs: visit(entry) is called for each ref.
-- Returns the number of jobs and whether the session now holds nothing.
local function give_back_session(keys, session, limit, now_ms, visit)
  local jobs, refs = 0, 0
  for _, fence in ipairs(held_fences(keys.leases, session)) do
    if refs >= limit then
      return jobs, false
    end
    for _, entry in ipairs(read_lease(keys.leases, session, fence) or {}) do
      visit(entry)
      jobs, refs = jobs + put_back(keys, entry, entry.first, entry.count, now_ms), refs + 1
    end
    write_lease(keys.leases, session, fence, {})
  end
  redis.call('HDEL', keys.leases, session)
  return jobs, true
end
