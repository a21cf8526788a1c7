-- Ends leased jobs: takes spans of jobs that finished, and one outcome for each job that ended in another way.
--
-- @keys chunks ready scheduled marks jobs leases sessions failed cancelled cancelling
-- @keys finished finishing finished_log stats wake
-- ARGV[1]  session
-- ARGV[2]  fence
-- ARGV[3]  finished_keep  finished jobs to keep
-- ARGV[4]  ended_keep     failed jobs to keep, and as many cancelled ones
-- ARGV[5]  ended_keep_ms  age up to which they are kept
-- ARGV[6]  spans          number of spans that follow, 7 arguments each:
--            chunk id, n jobs in the chunk, first, count, head (opaque), times (8 bytes per job, opaque),
--            keep_ms (history; 0 = none)
-- then outcomes, 10 arguments each:
--            ref in the lease ("<id>~<index>" of a detached job, else the chunk's id), n jobs in the chunk (0 = the
--            chunk is corrupt), index, status (finished | retrying | scheduled | failed | cancelled), delay_ms (for
--            retrying and scheduled), priority, keep_ms (for finished), type, record (opaque), short (opaque; stored in
--            place of the record while the server is out of memory; '' = the record)
-- Returns the number of jobs that it took, 0 when an earlier call took all of them, or -1 when the session is fenced:
-- then nothing has changed.
-- O((spans + outcomes) * lease). Keeps: only the owner of a lease ends its jobs, each once; a job that failed is
-- detached, recorded and put where it belongs in one step.

-- @include lib/read
-- @include lib/layout
-- @include lib/clock
-- @include lib/full_server
-- @include lib/refs
-- @include lib/cancelling
-- @include lib/place
-- @include lib/next_sequence
-- @include lib/deferred_counters
-- @include lib/session
-- @include lib/lease
-- @include lib/settle_lease
-- @include lib/record
-- @include lib/marks
-- @include lib/history
-- @include lib/progress
-- @include lib/chunk_finished
-- @include lib/trimming
-- @include lib/wake
-- @include lib/settle
-- @include lib/put_in_line

-- @const JOB_TIMES_BYTES
local SPAN_WIDTH, OUTCOME_WIDTH, FIRST = 7, 10, 7
local session, fence = ARGV[1], ARGV[2]
local finished_keep, ended_keep, ended_keep_ms = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local spans = tonumber(ARGV[6])

-- @check except leases sessions failed cancelled cancelling
if not is_open(session) then
  return -1
end
local entries = read_lease(session, fence)
if not entries then
  return 0
end
cancelling_number = read('ZCARD', keys.cancelling)
local ended = read('ZCARD', keys.failed) + read('ZCARD', keys.cancelled)
-- An ack takes a job's payload out of its chunk and frees it in the end: the server makes it, and stores less.
local full = FIRST + spans * SPAN_WIDTH <= #ARGV and is_full(keys.ready)
run_when_full(keys.ready)
local now_ms, now_us = server_clock()

-- Whether the job was to be cancelled while it was being executed; it ends now, in whatever way.
local function was_cancelling(ref)
  return cancelling_number > 0 and redis.call('ZREM', keys.cancelling, ref) == 1
end

-- Jobs of a chunk that finished: their times go into the history, their number into the chunk's progress. While a chunk
-- goes on its times are kept, whatever the retention: they show which of its jobs finished.
local function finish_span(id, n, first, count, head, times, keep_ms)
  return take_from_lease(entries, id, first, count, false, function(_, from, number)
    if keep_ms > 0 or number < n then
      local offset = (from - first) * JOB_TIMES_BYTES
      local of_span = string.sub(times, offset + 1, offset + number * JOB_TIMES_BYTES)
      local segment = string.format('%03d+%d ', from, number) .. head .. of_span
      if number < n then
        note_finishing(id, segment)
      else
        redis.call('HSET', keys.finished, id, segment)
      end
    end
    visit_cancelling(id, from, number, function(index)
      if was_cancelling(job_ref(id, index)) then
        redis.call('HDEL', keys.jobs, job_ref(id, index))
      end
    end)
    move_count(nil, 'finished', chunk_finished(id, n, number, keep_ms, now_ms))
    move_count('executing', nil, number)
    move_count(nil, 'finished_total', number)
  end)
end

-- Ends a job with a record as finished; it is kept for keep_ms, 0 = not at all.
local function put_finished(ref, record, keep_ms)
  if keep_ms > 0 then
    record.status, record.at_ms, record.sequence = 'finished', now_ms, '0'
    write_record(ref, record)
    log_finished(ref, 1, now_ms + keep_ms)
    move_count(nil, 'finished', 1)
  else
    redis.call('HDEL', keys.jobs, ref)
  end
  move_count(nil, 'finished_total', 1)
end

local function settle(ref, status, delay_ms, keep_ms, record)
  if status == 'finished' then
    put_finished(ref, record, keep_ms)
  elseif status == 'failed' or status == 'cancelled' then
    put_ended(ref, record, status, now_ms)
  else
    put_in_line(ref, record, status == 'retrying' and 'r' or 's', now_ms + delay_ms, now_ms, now_us)
    move_count(nil, status == 'retrying' and 'retried_total' or nil, 1)
  end
end

-- Chunk id -> how many jobs the chunk has and the indexes of those that leave it in this call.
local left = {}

-- One job that ended in another way than finishing in its chunk: it leaves the chunk and becomes a record of its own.
local function settle_job(ref, n, index, status, delay_ms, priority, keep_ms, job_type, body)
  local id, _, _, detached = parse_ref(ref)
  local job = job_ref(id, index)
  return take_from_lease(entries, id, index, 1, detached, function(entry)
    local before = detached and read_record(job)
    local record = {
      score = string.format('%.0f', 0 - priority), operation = before and before.operation or '-',
      type = job_type, body = body,
    }
    local cancelled = was_cancelling(job) and (status == 'retrying' or status == 'scheduled')
    settle(job, cancelled and 'cancelled' or status, delay_ms, keep_ms, record)
    move_count('executing', nil, 1)
    if detached then
      redis.call('HDEL', keys.marks, entry.ref)
    elseif n > 0 then
      local leaving = left[id] or {n = n, indexes = {}}
      left[id] = leaving
      leaving.indexes[#leaving.indexes + 1] = index
    end
  end)
end

local taken, position, settled = 0, FIRST, spans
for _ = 1, spans do
  local id, n, first, count, head, times, keep_ms = unpack(ARGV, position, position + SPAN_WIDTH - 1)
  taken = taken + finish_span(id, tonumber(n), tonumber(first), tonumber(count), head, times, tonumber(keep_ms))
  position = position + SPAN_WIDTH
end
while position <= #ARGV do
  local ref, n, index, status, delay_ms, priority, keep_ms, job_type, body, short =
    unpack(ARGV, position, position + OUTCOME_WIDTH - 1)
  taken = taken + settle_job(ref, tonumber(n), tonumber(index), status, tonumber(delay_ms), tonumber(priority),
    tonumber(keep_ms), job_type, full and short ~= '' and short or body)
  position, settled = position + OUTCOME_WIDTH, settled + 1
end
for id, leaving in pairs(left) do
  chunk_left(id, leaving.n, leaving.indexes, now_ms)
end
if taken > 0 then
  write_lease(session, fence, entries)
  write_counts()
  trim_finished(finished_keep, now_ms, 2 * settled + 2)
  -- Without failed or cancelled jobs, before this call or from it, there is nothing to look at.
  if ended > 0 or settled > spans then
    trim_ended('failed', ended_keep, ended_keep_ms, now_ms, 2 * settled + 2)
    trim_ended('cancelled', ended_keep, ended_keep_ms, now_ms, 2 * settled + 2)
  end
  write_counts()
end
return taken
