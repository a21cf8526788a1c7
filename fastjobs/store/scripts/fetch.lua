-- Leases jobs to a session: promotes jobs that are due, then takes spans from the head of the line.
--
-- @keys chunks ready scheduled marks jobs leases sessions stats wake
-- ARGV[1] session    who takes the lease
-- ARGV[2] request    number of this fetch, greater than that of the session's last; sent again, it returns its lease
-- ARGV[3] want       number of jobs to take; whole spans, so up to a quarter more
-- ARGV[4] max_refs   most refs in the lease
-- ARGV[5] max_bytes  stop once the payloads of the reply take this much memory, unpacked
-- ARGV[6] lease_ms   lease length, for the outage grace
-- ARGV[7..] ids of chunks the process holds already: their payload is not sent again
-- Returns {fence, now_ms, ms until the next scheduled job or -1, {member, score, marks, payload}...}; payload is the
-- stored chunk or record, '' for a chunk held already, nil when it is missing. Fence 0: there is nothing to do, also
-- when the queue is paused. Fence -1: the session is fenced.
-- O((spans + due) log queue). Keeps: priority descending, then first in first out; a job is in one lease at a time.

-- @include lib/read
-- @include lib/layout
-- @include lib/clock
-- @include lib/full_server
-- @include lib/refs
-- @include lib/member
-- @include lib/counters
-- @include lib/tick
-- @include lib/lease
-- @include lib/promote

-- @const CHUNK_MAGIC
-- @const CONTENT_OFFSET
local session, request, want = ARGV[1], ARGV[2], tonumber(ARGV[3])
local max_refs, max_bytes, lease_ms = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local FIRST_HELD = 7
-- PASSED: most members to look at beyond those that are taken. LATEST_MS: later than any due time.
local PROMOTE_LIMIT, PAGE, PASSED, LATEST_MS = 256, 16, 256, '1e15'
-- How a score is written, and the highest there is; minus that is the lowest.
-- @pattern SCORE ^<score>$
local HIGHEST_SCORE = 2 ^ 31

local now_ms = server_clock()
local deadline = read('ZSCORE', keys.sessions, session)
if not deadline or tonumber(deadline) <= 0 then
  return {-1, now_ms, -1}
end
local any_marks = read('HLEN', keys.marks) > 0
local known = {}
for position = FIRST_HELD, #ARGV do
  known[ARGV[position]] = true
end

-- The memory that a stored chunk takes in the process: the content of a packed chunk begins with the size of its body,
-- unpacked. Anything else takes its length.
local function unpacked_size(stored)
  local at = (string.find(stored, CHUNK_MAGIC, 1, true) or #stored) + CONTENT_OFFSET
  local size = #stored
  if size >= at + 3 then
    return math.max(size, (struct.unpack('<I4', stored, at)))
  end
  return size
end

-- The score that a job can have next to one that is none.
local function nearest_score(score)
  return string.format('%.0f', math.max(-HIGHEST_SCORE, math.min(HIGHEST_SCORE, tonumber(score))))
end

-- Adds {member, score, marks, payload} to the reply and returns the memory that the payload takes, unpacked.
local function describe(reply, sequence, ref, score, id, detached)
  local payload, size
  if detached then
    payload = redis.call('HGET', keys.jobs, ref)
  elseif known[id] then
    payload = ''
  else
    payload = redis.call('HGET', keys.chunks, id)
    size = payload and unpacked_size(payload)
    known[id] = true
  end
  local marks = any_marks and redis.call('HGET', keys.marks, detached and ref or id)
  reply[#reply + 1] = {sequence .. ref, score, marks, payload}
  return size or payload and #payload or 0
end

-- Whether the last tick is so old that a script that writes nothing else should tick; that shows a gap as well.
local function is_tick_due(last)
  return not last or math.abs(now_ms - number_in(last, 0)) > lease_ms / 16
end

local counts = read('HMGET', keys.stats, 'paused', 'tick', 'fence', 'queued', 'executing', 'layout')
check_layout(counts[6])
local held = read('HGET', keys.leases, session) or ''
local last_request, last_fence = string.match(held, '^(%d+):(%d+)')
if last_request and tonumber(request) < tonumber(last_request) then
  return {0, now_ms, -1}
end
if last_request == request then
  local reply = {tonumber(last_fence), now_ms, -1}
  for _, entry in ipairs(read_lease(session, last_fence) or {}) do
    describe(reply, entry.sequence, entry.ref, entry.score, entry.id, entry.detached)
  end
  return reply
end

-- @check except ready scheduled marks leases sessions stats wake
local waiting = read('ZCARD', keys.ready)
local hints = read('LLEN', keys.wake)
local due = read('ZRANGEBYSCORE', keys.scheduled, '-inf', string.format('%.0f', now_ms), 'LIMIT', 0, PROMOTE_LIMIT)
if #due > 0 then
  promote(due)
  counts = redis.call('HMGET', keys.stats, 'paused', 'tick', 'fence', 'queued', 'executing')
end
local paused = counts[1]

local reply = {0, now_ms, -1}
local members, entries, rest, foreign = {}, {}, nil, {}
local taken, bytes, offset, in_line = 0, 0, 0, not paused and waiting + #due > 0
while in_line and taken < want and #entries < max_refs and bytes < max_bytes and not rest do
  local page = redis.call('ZRANGE', keys.ready, offset, offset + PAGE - 1, 'WITHSCORES')
  for position = 1, #page, 2 do
    local member, score = page[position], page[position + 1]
    local sequence, ref = parse_member(member)
    local room = want - taken
    if rest or room <= 0 or #entries >= max_refs or bytes >= max_bytes then
      break
    end
    local id, first, count, detached = parse_ref(ref or '~')
    if not id then
      foreign[#foreign + 1] = score ~= 'inf' and member or nil
    else
      score = string.find(score, SCORE) and score or nearest_score(score)
      members[#members + 1] = member
      if count > room + math.floor(room / 4) then
        rest = {score, sequence .. span_ref(ref, id, first + room, count - room)}
        ref, count = span_ref(ref, id, first, room), room
      end
      bytes = bytes + describe(reply, sequence, ref, score, id, detached)
      entries[#entries + 1] = score .. ' ' .. sequence .. ref
      taken = taken + count
    end
  end
  offset, in_line = offset + PAGE, #page == 2 * PAGE and offset < max_refs + PASSED
end

-- Anything that is not a member goes to the end of the line, where it holds up nothing, and fsck reports it.
if #foreign > 0 then
  run_when_full(keys.ready)
  for _, member in ipairs(foreign) do
    redis.call('ZADD', keys.ready, '+inf', member)
  end
  count_by('set_aside', #foreign)
end
if taken == 0 then
  if is_tick_due(counts[2]) then
    run_when_full(keys.ready)
    redis.call('HSET', keys.stats, unpack(take_tick(counts[2], now_ms, lease_ms)))
  end
  local later = string.format('(%.0f', now_ms)
  local next_due = redis.call('ZRANGEBYSCORE', keys.scheduled, later, LATEST_MS, 'WITHSCORES', 'LIMIT', 0, 1)
  if next_due[2] and not paused then
    reply[3] = math.ceil(tonumber(next_due[2])) - now_ms
  end
  if hints > 0 then
    redis.call('DEL', keys.wake)
  end
  return reply
end

-- The first write frees memory, so a full server makes it, and then those behind it.
for position = 1, #members, 500 do
  redis.call('ZREM', keys.ready, unpack(members, position, math.min(position + 499, #members)))
end
if rest then
  redis.call('ZADD', keys.ready, rest[1], rest[2])
end
-- A fence that was given out must not come again: if the counter is damaged, the clock is ahead of it.
local fence = math.max(number_in(counts[3], counts[3] and now_ms or 0), number_in(last_fence, 0)) + 1
local fences = string.match(held, ' .*$') or ''
local lease = string.format('%s:%.0f', session, fence)
redis.call('HSET', keys.leases, session, string.format('%s:%.0f%s %.0f', request, fence, fences, fence),
  lease, table.concat(entries, ' '))
redis.call('HSET', keys.stats, 'fence', string.format('%.0f', fence),
  'queued', string.format('%.0f', number_in(counts[4], 0) - taken),
  'executing', string.format('%.0f', number_in(counts[5], 0) + taken),
  unpack(take_tick(counts[2], now_ms, lease_ms)))
if rest or redis.call('ZCARD', keys.ready) > 0 then
  if hints == 0 then
    redis.call('LPUSH', keys.wake, '')
  end
elseif hints > 0 then
  redis.call('DEL', keys.wake)
end
reply[1] = fence
return reply
