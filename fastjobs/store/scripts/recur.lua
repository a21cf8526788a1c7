-- Fires a recurring job: enqueues the runs that are due and moves on to the next due instant; any worker calls it.
--
-- @keys chunks ready jobs finished recurring recurring_due stats wake
-- ARGV[1] id
-- ARGV[2] revision      of the definition that the caller read
-- ARGV[3] due_ms        the due instant it read
-- ARGV[4] next_due_ms   the one to move on to
-- ARGV[5] priority      of the runs
-- ARGV[6] wake_cap      most hints to keep
-- ARGV[7] blob          the packed chunk, of one job, of each run
-- ARGV[8..] run ids, each followed by its due instant (ms); none when all are skipped
-- Returns the number of runs enqueued (0 also when the run before is not done and overlaps are skipped), or -1 when the
-- definition is not due as the caller read it: another worker was faster, or it was changed. Then nothing has changed.
-- O(runs log queue). Keeps: each due instant is fired once, however many workers race for it and however often the call
-- is sent.

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

local id, revision, due_ms, next_due_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local score, wake_cap, blob = string.format('%.0f', 0 - ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local FIRST_RUN = 8

-- @check
local definition = read_definition(id)
local now_ms, now_us = server_clock()
if not definition or definition.status ~= 'active' or definition.revision ~= revision or definition.due_ms ~= due_ms
  or due_ms > now_ms or next_due_ms <= due_ms then
  return -1
end
local enqueued = 0
if not is_held_up(definition) then
  for position = FIRST_RUN, #ARGV, 2 do
    local run = ARGV[position]
    if not is_stored(run) then
      enqueue_run(run, score, blob, now_us, wake_cap)
      enqueued = enqueued + 1
    end
    definition.last_run, definition.last_due_ms = run, tonumber(ARGV[position + 1])
  end
end
definition.due_ms = next_due_ms
write_definition(id, definition)
redis.call('ZADD', keys.recurring_due, string.format('%.0f', next_due_ms), id)
return enqueued
