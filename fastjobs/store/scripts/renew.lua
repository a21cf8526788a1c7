-- Heartbeat: moves the deadlines of living sessions on, and returns the executing jobs that are to be cancelled.
--
-- @keys sessions cancelling stats
-- ARGV[1] lease_ms    the new deadline counts from the server's now
-- ARGV[2..] sessions
-- Returns {renewed, cancelling}: one number per session, 1 renewed or 0 gone (its jobs were given to others); refs of
-- jobs to be cancelled, the longest known first, at most 1000.
-- O(sessions given). Keeps: an expired session may renew until it is reclaimed, never afterwards.

-- @include lib/read
-- @include lib/layout
-- @include lib/clock
-- @include lib/full_server
-- @include lib/tick
-- @include lib/session

local lease_ms = tonumber(ARGV[1])
local FIRST_SESSION, CANCELLING_LIMIT = 2, 1000

-- @check
local now_ms = server_clock()
local deadline = string.format('%.0f', now_ms + lease_ms)
run_when_full(keys.sessions)
tick(now_ms, lease_ms)
local renewed = {}
for position = FIRST_SESSION, #ARGV do
  local alive = is_open(ARGV[position])
  if alive then
    redis.call('ZADD', keys.sessions, 'XX', deadline, ARGV[position])
  end
  renewed[#renewed + 1] = alive and 1 or 0
end
return {renewed, redis.call('ZRANGE', keys.cancelling, 0, CANCELLING_LIMIT - 1)}
