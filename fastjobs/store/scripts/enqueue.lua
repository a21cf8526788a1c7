-- Stores one chunk of jobs and puts it in line, or into the schedule when it is due later.
--
-- @keys chunks ready scheduled jobs senders stats wake
-- ARGV[1] id         chunk id, made by the producer before the first send
-- ARGV[2] n          number of jobs in it
-- ARGV[3] priority   higher runs first
-- ARGV[4] delay_ms   from the server's now; 0 = at once
-- ARGV[5] due_at_ms  when it is due, ms since 1970, if delay_ms is 0; in the past = at once
-- ARGV[6] wake_cap   most hints to keep
-- ARGV[7] sender     who sends it
-- ARGV[8] number     counts the chunks that the sender sends to this partition, from 1; the same when it is sent again
-- ARGV[9] keep_ms    how long to remember the sender after this
-- ARGV[10] chosen    1 = a user chose the id, so another job may have it; 0 = it is new
-- ARGV[11] blob      the packed chunk
-- Returns 1 created, 2 existing (it was sent before, or is stored with the same content), 3 conflict (the id has other
-- content, or content that cannot be read), 4 the job has left its chunk, so only its record can show whether it is the
-- same; 5 created, and the partition was empty: nothing was ever enqueued, or it was forgotten.
-- O(log queue). Keeps: a chunk is stored once, however often it is sent, also when its jobs are over and forgotten. The
-- server refuses the first write when it is out of memory, so nothing is ever half-written.

-- @include lib/read
-- @include lib/layout
-- @include lib/clock
-- @include lib/place
-- @include lib/chunk
-- @include lib/job_ref

-- @const CONTENT_OFFSET
local id, n, score = ARGV[1], tonumber(ARGV[2]), string.format('%.0f', 0 - ARGV[3])
local delay_ms, due_at_ms = tonumber(ARGV[4]), tonumber(ARGV[5])
local wake_cap, sender, number, keep_ms = tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])
local chosen, blob = ARGV[10] == '1', ARGV[11]
-- An idle worker looks again after this long; a job that is due before that has to wake one.
local IDLE_WAIT_MS = 1000
-- A sender that was forgotten may send some of its chunks again, those with the last few of its numbers. If it is then
-- remembered anew, it has gaps, or numbers up to this one. Without these, its entry speaks for all that it has sent.
local DOUBTFUL_NUMBERS = 64

local counts = read('HMGET', keys.stats, 'sequence', 'enqueued_total', 'queued', 'scheduled', 'layout')
check_layout(counts[5])
local now_ms, now_us = server_clock()
local known, forget_ms = read('HGET', keys.senders, sender), now_ms + keep_ms
local last = string.match(known or '', '^%d+ (%d+)$')
local remembered
if not chosen and last and number == last + 1 and number > DOUBTFUL_NUMBERS then
  -- The usual case: nobody chose the id, and the sender has not sent the chunk before.
  remembered = string.format('%.0f ', forget_ms) .. number
else
  -- Included here, because the usual case would pay for each function that it does not need.
-- @include lib/sender
  local was_stored
  was_stored, remembered = judge_sent(known, number, forget_ms)
  if was_stored then
    return 2
  end
  local stored = read('HGET', keys.chunks, id)
  if stored then
    local _, _, _, offset = read_chunk(stored)
    if not offset then
      return 3
    end
    return string.sub(stored, offset + CONTENT_OFFSET) == string.sub(blob, CONTENT_OFFSET + 1) and 2 or 3
  end
  if read('HEXISTS', keys.jobs, job_ref(id, 0)) == 1 then
    -- Users never choose the id of a larger chunk: it is the same chunk, and all of its jobs have left it.
    return n == 1 and 4 or 2
  end
end
local due_ms = delay_ms > 0 and now_ms + delay_ms or due_at_ms
local delayed = due_ms > now_ms
if delayed then
  read('ZCARD', keys.scheduled)
else
  read('ZCARD', keys.ready)
end
local hints = read('LLEN', keys.wake)

local sequence = delayed and due_sequence(due_ms) or sequence_after(counts[1], now_us)
-- The first write, and of a new id the first use of the key: it fails if the key has a foreign type.
read('HSET', keys.chunks, id, chunk_value(score, sequence, n, blob))
redis.call('HSET', keys.senders, sender, remembered)
local ref = n == 1 and id or string.format('%s~000+%d', id, n)
-- The counters that were read, counted up: one write for all of them.
local total = string.format('%.0f', (tonumber(counts[2]) or 0) + n)
if delayed then
  redis.call('ZADD', keys.scheduled, string.format('%.0f', due_ms), scheduled_member('s', score, sequence .. ref))
  redis.call('HSET', keys.stats, 'enqueued_total', total,
    'scheduled', string.format('%.0f', (tonumber(counts[4]) or 0) + n))
else
  redis.call('ZADD', keys.ready, score, sequence .. ref)
  redis.call('HSET', keys.stats, 'sequence', sequence, 'enqueued_total', total,
    'queued', string.format('%.0f', (tonumber(counts[3]) or 0) + n))
end
if hints < wake_cap and due_ms - now_ms < IDLE_WAIT_MS then
  redis.call('LPUSH', keys.wake, '')
end
return counts[2] and 1 or 5
