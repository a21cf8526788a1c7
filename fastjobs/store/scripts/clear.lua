-- Drops jobs that wait in line or for their time, from the head of the line on; call it again until it returns 0.
--
-- @keys chunks ready scheduled marks jobs finished finishing finished_log stats
-- ARGV[1] limit         most spans to drop in this call
-- Returns the number of jobs dropped.
-- O(limit log queue). Keeps: the counters equal what is stored.

-- @include lib/read
-- @include lib/layout
-- @include lib/clock
-- @include lib/full_server
-- @include lib/refs
-- @include lib/chunk
-- @include lib/counters
-- @include lib/marks
-- @include lib/history
-- @include lib/progress

-- @const SEQUENCE_DIGITS
local limit = tonumber(ARGV[1])

-- @check
run_when_full(keys.ready)
local now_ms = server_clock()

-- Drops the jobs of a member of `ready`.
local function drop(member, status)
  local ref = string.sub(member, SEQUENCE_DIGITS + 1)
  local id, first, count, detached = parse_ref(ref)
  move_count(status, nil, count)
  if detached then
    redis.call('HDEL', keys.jobs, ref)
    redis.call('HDEL', keys.marks, ref)
    return count
  end
  local stored = redis.call('HGET', keys.chunks, id)
  local _, _, n = read_chunk(stored or '0 0 0\n')
  if count == n then
    forget_chunk(id)
    return count
  end
  for index = first, first + count - 1 do
    chunk_left(id, n, {index}, now_ms)
  end
  return count
end

local dropped = 0
local ready = redis.call('ZRANGE', keys.ready, 0, limit - 1)
for _, member in ipairs(ready) do
  redis.call('ZREM', keys.ready, member)
  dropped = dropped + drop(member, 'queued')
end
local scheduled = redis.call('ZRANGE', keys.scheduled, 0, limit - #ready - 1)
for _, entry in ipairs(#ready < limit and scheduled or {}) do
  local kind, member = string.match(entry, '^(%a)-?%d+,(.+)$')
  redis.call('ZREM', keys.scheduled, entry)
  dropped = dropped + drop(member, kind == 'r' and 'retrying' or 'scheduled')
end
return dropped
