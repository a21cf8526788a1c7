-- Takes what became of leased jobs: runs that finished, and one outcome for each job that did not simply finish.
--
-- KEYS[1]  chunks        {..}:chunks        hash  chunk id -> place and packed chunk
-- KEYS[2]  ready         {..}:ready         zset  jobs to retry at once
-- KEYS[3]  scheduled     {..}:scheduled     zset  jobs to retry later
-- KEYS[4]  marks         {..}:marks         hash  progress of partly done chunks
-- KEYS[5]  jobs          {..}:jobs          hash  ref -> record of a detached job
-- KEYS[6]  leases        {..}:leases        hash
-- KEYS[7]  sessions      {..}:sessions      zset
-- KEYS[8]  failed        {..}:failed        zset  ref -> when (ms)
-- KEYS[9]  cancelled     {..}:cancelled     zset  ref -> when (ms)
-- KEYS[10] cancelling    {..}:cancelling    zset  refs of executing jobs to be cancelled
-- KEYS[11] finished      {..}:finished      hash  chunk id -> segments of times
-- KEYS[12] finished_log  {..}:finished_log  zset  what ended -> when to forget it (ms)
-- KEYS[13] stats         {..}:stats         hash
-- KEYS[14] wake          {..}:wake          list  hints
-- ARGV[1]  session
-- ARGV[2]  fence
-- ARGV[3]  finished_keep  jobs of history kept
-- ARGV[4]  ended_keep     failed jobs kept, and as many cancelled ones
-- ARGV[5]  ended_keep_ms  age to which they are kept
-- ARGV[6]  runs           number of runs that follow, 7 arguments each:
--            chunk id, n jobs in the chunk, first, count, head (opaque), columns (8 bytes per job, opaque),
--            keep_ms (history; 0 = none)
-- then outcomes, 9 arguments each:
--            ref in the lease ("<id>~<index>" detached, else the chunk's id), n jobs in the chunk (0 = not known: corrupt), index,
--            state (finished | retrying | scheduled | failed | cancelled), delay_ms (for retrying and scheduled), priority,
--            keep_ms (for finished), type, record (opaque)
-- Returns jobs taken (0 when all was sent before), or -1 when the session is fenced: then nothing has changed.
-- O((runs + outcomes) * lease). Keeps: only the owner of a lease can end its jobs, and each only once; a
-- job that failed is detached, recorded and put where it belongs in one step.

-- @include lib/types
-- @include lib/all_types
-- @include lib/clock
-- @include lib/full_server
-- @include lib/refs
-- @include lib/place
-- @include lib/deferred_counters
-- @include lib/session
-- @include lib/lease
-- @include lib/settle_lease
-- @include lib/record
-- @include lib/marks
-- @include lib/history
-- @include lib/progress
-- @include lib/wake
-- @include lib/settle

local keys = {
  chunks = KEYS[1], ready = KEYS[2], scheduled = KEYS[3], marks = KEYS[4], jobs = KEYS[5], failed = KEYS[8],
  cancelled = KEYS[9], cancelling = KEYS[10], finished = KEYS[11], finished_log = KEYS[12], stats = KEYS[13],
  wake = KEYS[14],
}
local leases, sessions = KEYS[6], KEYS[7]
local session, fence = ARGV[1], ARGV[2]
local finished_keep, ended_keep, ended_keep_ms = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local runs = tonumber(ARGV[6])
local RUN_WIDTH, OUTCOME_WIDTH, COLUMN_WIDTH = 7, 9, 8

check_types(keys)
check_type('HLEN', leases)
check_type('ZCARD', sessions)
if not is_open(sessions, session) then
  return -1
end
local entries = read_lease(leases, session, fence)
if not entries then
  return 0
end
run_when_full(keys.ready)
local now_ms, now_us = server_clock()
local cancelling = redis.call('ZCARD', keys.cancelling) > 0

-- Whether the job was to be cancelled while it was executing; it ends now, one way or another.
local function was_cancelling(ref)
  return cancelling and redis.call('ZREM', keys.cancelling, ref) == 1
end

-- A run of jobs that finished: times into the history, progress to the chunk. The times of a chunk that goes on are
-- kept whatever the retention: they tell which of its jobs finished.
local function finish_run(id, n, first, count, head, columns, keep_ms)
  return take_from_lease(entries, id, first, count, false, function(_, from, number)
    if keep_ms > 0 or number < n then
      local offset = (from - first) * COLUMN_WIDTH
      local times = string.sub(columns, offset + 1, offset + number * COLUMN_WIDTH)
      local before = number < n and redis.call('HGET', keys.finished, id) or ''
      redis.call('HSET', keys.finished, id, before .. from .. '+' .. number .. ' ' .. head .. times)
    end
    for index = from, cancelling and from + number - 1 or -1 do
      if was_cancelling(id .. '~' .. index) then
        redis.call('HDEL', keys.jobs, id .. '~' .. index)
      end
    end
    move_count(keys.stats, nil, 'finished', chunk_finished(keys, id, n, number, keep_ms, now_ms))
    move_count(keys.stats, 'executing', nil, number)
    move_count(keys.stats, nil, 'finished_total', number)
  end)
end

local function settle(ref, state, delay_ms, keep_ms, record)
  if state == 'finished' then
    put_finished(keys, ref, record, now_ms, keep_ms)
  elseif state == 'failed' or state == 'cancelled' then
    put_ended(keys, ref, record, state, now_ms)
  else
    put_in_line(keys, ref, record, state == 'retrying' and 'r' or 's', now_ms + delay_ms, now_ms, now_us)
    move_count(keys.stats, nil, state == 'retrying' and 'retried_total' or nil, 1)
  end
end

-- Chunk id -> how many jobs the chunk has and the indexes of those that leave it in this call.
local left = {}

-- One job that did not simply finish: it leaves its chunk and becomes a record of its own.
local function settle_job(ref, n, index, state, delay_ms, priority, keep_ms, type, body)
  local id, _, _, detached = parse_ref(ref)
  local job = id .. '~' .. index
  return take_from_lease(entries, id, index, 1, detached, function(entry)
    local before = detached and read_record(keys.jobs, job)
    local record = {
      score = string.format('%.0f', 0 - priority), operation = before and before.operation or '-', type = type, body = body,
    }
    local cancelled = was_cancelling(job) and (state == 'retrying' or state == 'scheduled')
    settle(job, cancelled and 'cancelled' or state, delay_ms, keep_ms, record)
    move_count(keys.stats, 'executing', nil, 1)
    if detached then
      redis.call('HDEL', keys.marks, entry.ref)
    elseif n > 0 then
      local leaving = left[id] or {n = n, indexes = {}}
      left[id] = leaving
      leaving.indexes[#leaving.indexes + 1] = index
    end
  end)
end

local taken, position, settled = 0, 7, runs
for _ = 1, runs do
  local id, n, first, count, head, columns, keep_ms = unpack(ARGV, position, position + RUN_WIDTH - 1)
  taken = taken + finish_run(id, tonumber(n), tonumber(first), tonumber(count), head, columns, tonumber(keep_ms))
  position = position + RUN_WIDTH
end
while position <= #ARGV do
  local ref, n, index, state, delay_ms, priority, keep_ms, type, body = unpack(ARGV, position, position + OUTCOME_WIDTH - 1)
  taken = taken + settle_job(ref, tonumber(n), tonumber(index), state, tonumber(delay_ms), tonumber(priority),
    tonumber(keep_ms), type, body)
  position, settled = position + OUTCOME_WIDTH, settled + 1
end
for id, leaving in pairs(left) do
  chunk_left(keys, id, leaving.n, leaving.indexes, now_ms)
end
if taken > 0 then
  write_lease(leases, session, fence, entries)
  write_counts(keys.stats)
  trim_finished(keys, finished_keep, now_ms, 2 * settled + 2)
  trim_ended(keys, 'failed', ended_keep, ended_keep_ms, now_ms, 2 * settled + 2)
  trim_ended(keys, 'cancelled', ended_keep, ended_keep_ms, now_ms, 2 * settled + 2)
  write_counts(keys.stats)
end
return taken
