-- Enqueues a run of a recurring job now, beside its schedule.
--
-- KEYS[1] recurring  {..}:recurring  hash  id -> definition
-- KEYS[2] chunks     {..}:chunks     hash  chunk id -> place and packed chunk
-- KEYS[3] ready      {..}:ready      zset  sequence + ref, score = -priority
-- KEYS[4] jobs       {..}:jobs       hash  records of detached jobs
-- KEYS[5] finished   {..}:finished   hash  chunk id -> segments of times
-- KEYS[6] stats      {..}:stats      hash
-- KEYS[7] wake       {..}:wake       list  hints
-- ARGV[1] id
-- ARGV[2] revision   of the definition that the caller read
-- ARGV[3] priority   of the run
-- ARGV[4] wake_cap   most hints to keep
-- ARGV[5] blob       the packed chunk, of one job
-- ARGV[6] run        its job id, made by the caller before the first send
-- Returns {1, run} when it is enqueued (or was, by this very call sent before), {0, job id} of the run that is not done
-- while overlaps are skipped, or {-1, ''} when the definition was changed or is gone.
-- O(log queue). Keeps: the next due instant; and with overlaps skipped, no two runs at a time.

-- @include lib/types
-- @include lib/all_types
-- @include lib/clock
-- @include lib/place
-- @include lib/chunk
-- @include lib/counters
-- @include lib/record
-- @include lib/wake
-- @include lib/recurring
-- @include lib/recurring_run

local keys = {
  recurring = KEYS[1], chunks = KEYS[2], ready = KEYS[3], jobs = KEYS[4], finished = KEYS[5], stats = KEYS[6],
  wake = KEYS[7],
}
local id, revision, score = ARGV[1], ARGV[2], string.format('%.0f', 0 - ARGV[3])
local wake_cap, blob, run = tonumber(ARGV[4]), ARGV[5], ARGV[6]
check_types(keys)

check_type('HLEN', keys.recurring, keys.chunks, keys.jobs, keys.finished, keys.stats)
check_type('ZCARD', keys.ready)
check_type('LLEN', keys.wake)
local definition = read_definition(keys.recurring, id)
if is_stored(keys, run) or (definition and definition.last_run == run) then
  return {1, run}
end
if not definition or definition.revision ~= revision then
  return {-1, ''}
end
if is_held_up(keys, definition) then
  return {0, definition.last_run}
end
local now_ms, now_us = server_clock()
enqueue_run(keys, run, score, blob, now_us, wake_cap)
definition.last_run, definition.last_due_ms = run, now_ms
write_definition(keys.recurring, id, definition)
return {1, run}
