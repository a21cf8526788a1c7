-- Heartbeat: moves the deadlines of living sessions on, and tells which executing jobs are to be cancelled.
--
-- KEYS[1] sessions    {..}:sessions    zset  session -> deadline (ms); 0 while it is being reclaimed
-- KEYS[2] stats       {..}:stats       hash  tick, grace_until
-- KEYS[3] cancelling  {..}:cancelling  zset  refs of executing jobs to be cancelled
-- ARGV[1] lease_ms    the new deadline counts from the server's now
-- ARGV[2..] sessions
-- Returns {renewed, cancelling}: one number per session, 1 renewed or 0 gone (its jobs were given to others); refs of jobs
-- to be cancelled, the longest known first, at most 1000. O(sessions given). Keeps: an expired session may renew until it is
-- reclaimed, never afterwards.

-- @include lib/types
-- @include lib/clock
-- @include lib/full_server
-- @include lib/tick
-- @include lib/session

local sessions, stats, cancelling = KEYS[1], KEYS[2], KEYS[3]
local lease_ms = tonumber(ARGV[1])
local CANCELLING_LIMIT = 1000
check_type('ZCARD', sessions, cancelling)
check_type('HLEN', stats)
local now_ms = server_clock()
local deadline = string.format('%.0f', now_ms + lease_ms)

run_when_full(sessions)
tick(stats, now_ms, lease_ms)
local renewed = {}
for position = 2, #ARGV do
  local alive = is_open(sessions, ARGV[position])
  if alive then
    redis.call('ZADD', sessions, 'XX', deadline, ARGV[position])
  end
  renewed[#renewed + 1] = alive and 1 or 0
end
return {renewed, redis.call('ZRANGE', cancelling, 0, CANCELLING_LIMIT - 1)}
