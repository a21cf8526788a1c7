-- Opens a session: one incarnation of one worker process, which may hold leases until its deadline.
--
-- @keys sessions stats
-- ARGV[1] session   id of the session
-- ARGV[2] lease_ms  how long it lives without a renewal
-- Returns 1 when it is open (now, or already), 0 when the session was fenced and cannot be opened again.
-- O(log sessions). Keeps: a session that lost its jobs never comes back.

-- @include lib/read
-- @include lib/layout
-- @include lib/clock
-- @include lib/full_server
-- @include lib/tick
-- @include lib/session

local session, lease_ms = ARGV[1], tonumber(ARGV[2])

-- @check
local now_ms = server_clock()
run_when_full(keys.sessions)
tick(now_ms, lease_ms)
redis.call('ZADD', keys.sessions, 'NX', string.format('%.0f', now_ms + lease_ms), session)
return is_open(session) and 1 or 0
