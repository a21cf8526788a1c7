-- Enqueues a run of a recurring job now, beside its schedule.
--
-- @keys chunks ready jobs finished recurring stats wake
-- ARGV[1] id
-- ARGV[2] revision   of the definition that the caller read
-- ARGV[3] priority   of the run
-- ARGV[4] wake_cap   most hints to keep
-- ARGV[5] blob       the packed chunk, of one job
-- ARGV[6] run        its job id, made by the caller before the first send
-- Returns {1, run} when it is enqueued (or was, by this very call sent before), {0, job id} of the run that is not done
-- while overlaps are skipped, or {-1, ''} when the definition was changed or is gone.
-- O(log queue). Keeps: the next due instant; and with overlaps skipped, no two runs at a time.

-- @include lib/read
-- @include lib/layout
-- @include lib/clock
-- @include lib/place
-- @include lib/next_sequence
-- @include lib/chunk
-- @include lib/counters
-- @include lib/record
-- @include lib/wake
-- @include lib/recurring
-- @include lib/recurring_run

local id, revision, score = ARGV[1], ARGV[2], string.format('%.0f', 0 - ARGV[3])
local wake_cap, blob, run = tonumber(ARGV[4]), ARGV[5], ARGV[6]

-- @check
local definition = read_definition(id)
if is_stored(run) or (definition and definition.last_run == run) then
  return {1, run}
end
if not definition or definition.revision ~= revision then
  return {-1, ''}
end
if is_held_up(definition) then
  return {0, definition.last_run}
end
local now_ms, now_us = server_clock()
enqueue_run(run, score, blob, now_us, wake_cap)
definition.last_run, definition.last_due_ms = run, now_ms
write_definition(id, definition)
return {1, run}
