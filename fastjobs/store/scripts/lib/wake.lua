-- Leaves a hint for one idle worker. Hints carry no job and are capped: losing one costs an idle
-- worker's polling interval, keeping too many would cost every worker an empty fetch.
local function wake_one(wake, cap)
  if redis.call('LLEN', wake) < cap then
    redis.call('LPUSH', wake, '')
  end
end
