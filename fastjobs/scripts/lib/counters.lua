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
