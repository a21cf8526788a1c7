-- Leaves a hint for one idle worker. Hints carry no job and are capped: a lost one costs an idle worker its polling
-- interval, too many would cost every worker an empty fetch.
local function wake_one(cap)
  if redis.call('LLEN', keys.wake) < cap then
    redis.call('LPUSH', keys.wake, '')
  end
end
