-- The counters of jobs in `stats`, written at once; `deferred_counters` has the same functions.

-- @include lib/count_by

-- Moves `count` jobs from one counter to another; either may be nil, for jobs that come or go.
local function move_count(from, to, count)
  if count == 0 then
    return
  end
  if from then
    count_by(from, -count)
  end
  if to then
    count_by(to, count)
  end
end

-- Counts a failed or cancelled job, also by its type. A type without jobs has no counter.
local function count_job(status, job_type, change)
  count_by(status, change)
  local field = status .. ':' .. job_type
  if count_by(field, change) <= 0 then
    redis.call('HDEL', keys.stats, field)
  end
end
