-- Opens a session: one incarnation of one worker process, which may hold leases until its deadline.
--
-- KEYS[1] sessions  {..}:sessions  zset  session -> deadline (ms); 0 while it is being reclaimed
-- KEYS[2] stats     {..}:stats     hash
-- ARGV[1] session   id of the session
-- ARGV[2] lease_ms  how long it lives without a renewal
-- Returns 1 opened (or open already), 0 the session was fenced and can not be opened again.
-- O(log sessions). Keeps: a session that lost its jobs never comes back.

-- @include lib/types
-- @include lib/clock
-- @include lib/full_server
-- @include lib/tick
-- @include lib/session

local sessions, stats = KEYS[1], KEYS[2]
local session, lease_ms = ARGV[1], tonumber(ARGV[2])
check_type('ZCARD', sessions)
check_type('HLEN', stats)
local now_ms = server_clock()

run_when_full(sessions)
tick(stats, now_ms, lease_ms)
redis.call('ZADD', sessions, 'NX', string.format('%.0f', now_ms + lease_ms), session)
return is_open(sessions, session) and 1 or 0
