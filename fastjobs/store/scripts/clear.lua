-- Drops jobs that wait in line or for their time, from the head of the line on; call it again until it returns 0.
--
-- @keys chunks ready scheduled marks jobs finished finishing finished_log stats
-- ARGV[1] limit      most members to drop in this call
-- ARGV[2] max_bytes  most bytes of chunks to read; the member that goes beyond is dropped as well
-- Returns {jobs dropped, 1 when there is more to drop else 0}.
-- O(limit log queue + max_bytes). Keeps: the counters equal what is stored.

-- @include lib/read
-- @include lib/layout
-- @include lib/clock
-- @include lib/full_server
-- @include lib/refs
-- @include lib/chunk
-- @include lib/deferred_counters
-- @include lib/marks
-- @include lib/history
-- @include lib/progress

-- @const SEQUENCE_DIGITS
local limit, max_bytes = tonumber(ARGV[1]), tonumber(ARGV[2])

-- @check
run_when_full(keys.ready)
local now_ms = server_clock()

local dropped, bytes = 0, 0
-- Chunk id -> how many jobs the chunk has, and the runs of them that are dropped.
local left = {}

-- Drops the jobs of a member of `ready`; one that cannot be read has none.
local function drop(member, status)
  local ref = string.sub(member, SEQUENCE_DIGITS + 1)
  local id, first, count, detached = parse_ref(ref)
  if not id then
    return
  end
  dropped = dropped + count
  move_count(status, nil, count)
  if detached then
    redis.call('HDEL', keys.jobs, ref)
    redis.call('HDEL', keys.marks, ref)
    return
  end
  if not left[id] then
    local stored = redis.call('HGET', keys.chunks, id) or ''
    local _, _, n = read_chunk(stored)
    left[id], bytes = {n = n, runs = {}}, bytes + #stored
  end
  local runs = left[id].runs
  runs[#runs + 1] = {first, first + count - 1}
end

-- Drops members of a sorted set from its beginning on, `most` of them or fewer; returns how many.
local function drop_from(zset, most, drop_member)
  local members = most > 0 and redis.call('ZRANGE', zset, 0, most - 1) or {}
  local number = 0
  while number < #members and bytes < max_bytes do
    number = number + 1
    drop_member(members[number])
  end
  if number > 0 then
    redis.call('ZREMRANGEBYRANK', zset, 0, number - 1)
  end
  return number
end

local number = drop_from(keys.ready, limit, function(member)
  drop(member, 'queued')
end)
drop_from(keys.scheduled, bytes < max_bytes and limit - number or 0, function(entry)
  local kind, member = string.match(entry, '^(%a)-?%d+,(.+)$')
  drop(member or '~', kind == 'r' and 'retrying' or 'scheduled')
end)
for id, leaving in pairs(left) do
  if leaving.n then
    runs_left(id, leaving.n, leaving.runs, now_ms)
  end
end
write_counts()
return {dropped, redis.call('ZCARD', keys.ready) + redis.call('ZCARD', keys.scheduled) > 0 and 1 or 0}
