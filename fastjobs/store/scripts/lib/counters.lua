-- Moves `count` jobs between two status counters; either may be nil (jobs that come or go).
local function move_count(stats, from, to, count)
  if count == 0 then
    return
  end
  if from then
    redis.call('HINCRBY', stats, from, -count)
  end
  if to then
    redis.call('HINCRBY', stats, to, count)
  end
end

-- Counts a failed or cancelled job, also by its type; a type with none left has no counter.
local function count_job(stats, state, type, change)
  redis.call('HINCRBY', stats, state, change)
  local field = state .. ':' .. type
  if redis.call('HINCRBY', stats, field, change) <= 0 then
    redis.call('HDEL', stats, field)
  end
end
