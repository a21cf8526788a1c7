-- Drops jobs that wait in line or for their time, from the head; call again until it returns 0.
--
-- KEYS[1] chunks        {..}:chunks        hash
-- KEYS[2] ready         {..}:ready         zset
-- KEYS[3] scheduled     {..}:scheduled     zset
-- KEYS[4] marks         {..}:marks         hash
-- KEYS[5] jobs          {..}:jobs          hash
-- KEYS[6] finished      {..}:finished      hash
-- KEYS[7] finished_log  {..}:finished_log  zset
-- KEYS[8] stats         {..}:stats         hash
-- ARGV[1] limit         most spans to drop in this call
-- Returns the number of jobs dropped. O(limit log queue). Keeps: counters equal what is there.

-- @include lib/types
-- @include lib/all_types
-- @include lib/clock
-- @include lib/full_server
-- @include lib/refs
-- @include lib/chunk
-- @include lib/counters
-- @include lib/record
-- @include lib/marks
-- @include lib/history
-- @include lib/progress

local keys = {
  chunks = KEYS[1], ready = KEYS[2], scheduled = KEYS[3], marks = KEYS[4], jobs = KEYS[5], finished = KEYS[6],
  finished_log = KEYS[7], stats = KEYS[8],
}
local limit = tonumber(ARGV[1])
check_types(keys)

check_type('HLEN', keys.chunks, keys.marks, keys.jobs, keys.finished, keys.stats)
check_type('ZCARD', keys.ready, keys.scheduled, keys.finished_log)
run_when_full(keys.ready)
local now_ms = server_clock()

local function drop(ref, status)
  local id, first, count, detached = parse_ref(ref)
  move_count(keys.stats, status, nil, count)
  if detached then
    redis.call('HDEL', keys.jobs, ref)
    redis.call('HDEL', keys.marks, ref)
    return count
  end
  local stored = redis.call('HGET', keys.chunks, id)
  local _, _, n = read_chunk(stored or '0 0 0 ')
  if count == n then
    forget_chunk(keys, id)
    return count
  end
  for index = first, first + count - 1 do
    chunk_detached(keys, id, n, index, now_ms)
  end
  return count
end

local dropped = 0
local ready = redis.call('ZRANGE', keys.ready, 0, limit - 1)
for _, member in ipairs(ready) do
  redis.call('ZREM', keys.ready, member)
  dropped = dropped + drop(string.sub(member, 14), 'queued')
end
local scheduled = redis.call('ZRANGE', keys.scheduled, 0, limit - #ready - 1)
for _, member in ipairs(#ready < limit and scheduled or {}) do
  local kind, ref = string.match(member, '^(%a)-?%d+,' .. string.rep('%x', 13) .. '(.+)$')
  redis.call('ZREM', keys.scheduled, member)
  dropped = dropped + drop(ref, kind == 'r' and 'retrying' or 'scheduled')
end
return dropped
