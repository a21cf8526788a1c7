-- Takes what became of leased jobs: runs that finished, and one outcome for each job that did not simply finish.
--
-- KEYS[1]  chunks        {..}:chunks        hash  chunk id -> packed chunk
-- KEYS[2]  ready         {..}:ready         zset  jobs to retry at once
-- KEYS[3]  scheduled     {..}:scheduled     zset  jobs to retry later
-- KEYS[4]  marks         {..}:marks         hash  progress of partly done chunks
-- KEYS[5]  jobs          {..}:jobs          hash  ref -> record of a detached job
-- KEYS[6]  leases        {..}:leases        hash
-- KEYS[7]  sessions      {..}:sessions      zset
-- KEYS[8]  failed        {..}:failed        zset  ref -> when (ms)
-- KEYS[9]  finished      {..}:finished      hash  chunk id -> segments of times
-- KEYS[10] finished_log  {..}:finished_log  list  what ended, oldest first
-- KEYS[11] stats         {..}:stats         hash
-- KEYS[12] wake          {..}:wake          list  hints
-- ARGV[1]  session
-- ARGV[2]  fence
-- ARGV[3]  finished_keep     jobs of history kept; 0 = none
-- ARGV[4]  finished_keep_ms  age to which they are kept
-- ARGV[5]  failed_keep       failed jobs kept
-- ARGV[6]  failed_keep_ms    age to which they are kept
-- ARGV[7]  runs              number of runs that follow, 6 arguments each:
--            chunk id, n jobs in the chunk, first, count, head (opaque), columns (8 bytes per job, opaque)
-- then outcomes, 7 arguments each:
--            ref in the lease ("<id>~<index>" detached, else the chunk's id), n jobs in the chunk (0 = not known: corrupt), index,
--            state (finished | retrying | scheduled | failed), delay_ms (for retrying and scheduled), priority, record (opaque; '' = keep none)
-- Returns jobs taken (0 when all was sent before), or -1 when the session is fenced: then nothing has changed.
-- O((runs + outcomes) * lease). Keeps: only the owner of a lease can end its jobs, and each only once; a
-- job that failed is detached, recorded and put where it belongs in one step.

-- @include lib/clock
-- @include lib/full_server
-- @include lib/refs
-- @include lib/sequence
-- @include lib/counters
-- @include lib/session
-- @include lib/lease
-- @include lib/marks
-- @include lib/history
-- @include lib/progress
-- @include lib/wake

local keys = {
  chunks = KEYS[1], ready = KEYS[2], scheduled = KEYS[3], marks = KEYS[4], jobs = KEYS[5], failed = KEYS[8],
  finished = KEYS[9], finished_log = KEYS[10], stats = KEYS[11], wake = KEYS[12],
}
local leases, sessions = KEYS[6], KEYS[7]
local session, fence = ARGV[1], ARGV[2]
local finished_keep, finished_keep_ms = tonumber(ARGV[3]), tonumber(ARGV[4])
local failed_keep, failed_keep_ms = tonumber(ARGV[5]), tonumber(ARGV[6])
local runs = tonumber(ARGV[7])
local RUN_WIDTH, OUTCOME_WIDTH, COLUMN_WIDTH = 6, 7, 8

if not is_open(sessions, session) then
  return -1
end
local entries = read_lease(leases, session, fence)
if not entries then
  return 0
end
run_when_full(keys.ready)
local now_ms, now_us = server_clock()

-- A run of jobs that finished: times into the history, progress to the chunk.
local function finish_run(id, n, first, count, head, columns)
  return take_from_lease(entries, id, first, count, false, function(_, from, number)
    if finished_keep > 0 then
      local offset = (from - first) * COLUMN_WIDTH
      local times = string.sub(columns, offset + 1, offset + number * COLUMN_WIDTH)
      local before = redis.call('HGET', keys.finished, id) or ''
      redis.call('HSET', keys.finished, id, before .. from .. '+' .. number .. ' ' .. head .. times)
    end
    chunk_progress(keys, id, n, number, number, now_ms)
    move_count(keys.stats, 'executing', finished_keep > 0 and 'finished' or nil, number)
    move_count(keys.stats, nil, 'finished_total', number)
  end)
end

local settle = {}

function settle.finished(ref, _, _, record)
  if finished_keep > 0 and record ~= '' then
    redis.call('HSET', keys.jobs, ref, record)
    log_finished(keys.finished_log, ref, 1, now_ms)
    move_count(keys.stats, nil, 'finished', 1)
  else
    redis.call('HDEL', keys.jobs, ref)
  end
  move_count(keys.stats, 'executing', 'finished_total', 1)
end

function settle.failed(ref, _, _, record)
  redis.call('HSET', keys.jobs, ref, record)
  redis.call('ZADD', keys.failed, string.format('%.0f', now_ms), ref)
  move_count(keys.stats, 'executing', 'failed', 1)
  move_count(keys.stats, nil, 'failed_total', 1)
end

function settle.scheduled(ref, delay_ms, priority, record, kind)
  redis.call('HSET', keys.jobs, ref, record)
  if delay_ms > 0 then
    local due = string.format('%.0f', now_ms + delay_ms)
    redis.call('ZADD', keys.scheduled, due, (kind or 's') .. string.format('%.0f', priority) .. ',' .. ref)
    move_count(keys.stats, 'executing', kind == 'r' and 'retrying' or 'scheduled', 1)
  else
    redis.call('ZADD', keys.ready, 0 - priority, next_sequence(keys.stats, now_us) .. ref)
    move_count(keys.stats, 'executing', 'queued', 1)
    wake_one(keys.wake, 1)
  end
end

function settle.retrying(ref, delay_ms, priority, record)
  settle.scheduled(ref, delay_ms, priority, record, 'r')
  move_count(keys.stats, nil, 'retried_total', 1)
end

-- One job that did not simply finish: it leaves its chunk and becomes a record of its own.
local function settle_job(ref, n, index, state, delay_ms, priority, record)
  local id, _, _, detached = parse_ref(ref)
  return take_from_lease(entries, id, index, 1, detached, function(entry)
    settle[state](id .. '~' .. index, delay_ms, priority, record)
    if detached then
      redis.call('HDEL', keys.marks, entry.ref)
    elseif n > 0 then
      chunk_progress(keys, id, n, 1, 0, now_ms)
    end
  end)
end

local taken, position, settled = 0, 8, runs
for _ = 1, runs do
  local id, n, first, count, head, columns = unpack(ARGV, position, position + RUN_WIDTH - 1)
  taken = taken + finish_run(id, tonumber(n), tonumber(first), tonumber(count), head, columns)
  position = position + RUN_WIDTH
end
while position <= #ARGV do
  local ref, n, index, state, delay_ms, priority, record = unpack(ARGV, position, position + OUTCOME_WIDTH - 1)
  taken = taken + settle_job(ref, tonumber(n), tonumber(index), state, tonumber(delay_ms), tonumber(priority), record)
  position, settled = position + OUTCOME_WIDTH, settled + 1
end
if taken > 0 then
  write_lease(leases, session, fence, entries)
  trim_finished(keys, finished_keep, finished_keep_ms, now_ms, 2 * settled + 2)
  trim_failed(keys, failed_keep, failed_keep_ms, now_ms, 2 * settled + 2)
end
return taken
