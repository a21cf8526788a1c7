-- Moves leased, unstarted jobs into the schedule as they are: this process cannot run them, another one may.
--
-- @keys chunks scheduled marks jobs leases sessions cancelled cancelling finished finishing finished_log stats
-- ARGV[1] session
-- ARGV[2] fence
-- ARGV[3] delay_ms   from the server's now
-- ARGV[4] most_ms    to which the delay doubles with each round of a chunk's postponements; the same as delay_ms = it
--                    does not grow
-- ARGV[5..] refs to postpone
-- Returns the number of jobs taken off the lease (0 for those that were before), or -1 when the session is fenced.
-- O(refs * lease). Keeps: a job that no worker can run now is neither lost nor fetched over and over, and keeps its
-- place.

-- @include lib/read
-- @include lib/layout
-- @include lib/clock
-- @include lib/full_server
-- @include lib/refs
-- @include lib/place
-- @include lib/chunk
-- @include lib/counters
-- @include lib/session
-- @include lib/lease
-- @include lib/settle_lease
-- @include lib/record
-- @include lib/marks
-- @include lib/history
-- @include lib/progress
-- @include lib/settle
-- @include lib/give_back
-- @include lib/order

local session, fence, delay_ms, most_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local FIRST_REF = 5

-- @check except leases sessions
if not is_open(session) then
  return -1
end
local entries = read_lease(session, fence)
if not entries then
  return 0
end
run_when_full(keys.scheduled)
local now_ms = server_clock()

-- Chunk id -> {due (ms, text), rounds}; and an entry of each chunk of which jobs were postponed.
local plans, postponed = {}, {}

-- When jobs of a chunk are due, and the rounds that it has had then. Jobs join those of their chunk that were postponed
-- before, if these are due within the delay: a round is one time, however many calls it takes.
local function plan(id)
  if not plans[id] then
    local mark = read_marks(id)
    local latest = number_in(string.match(mark.postponed, '^%d+'), 0)
    local due_ms, rounds = now_ms + math.min(most_ms, delay_ms * 2 ^ mark.rounds), mark.rounds
    if now_ms < latest and latest <= due_ms then
      due_ms = latest
    elseif most_ms > delay_ms then
      rounds = rounds + 1
    end
    plans[id] = {due = string.format('%.0f', due_ms), rounds = rounds}
  end
  return plans[id]
end

-- Whether a span of the chunk is scheduled for this time.
local function is_scheduled(prefix, time)
  local rank = rank_of(keys.scheduled, time, prefix)
  local found = redis.call('ZRANGE', keys.scheduled, rank, rank)[1]
  return found and string.sub(found, 1, #prefix) == prefix and redis.call('ZSCORE', keys.scheduled, found) == time
end

-- Adds the time to the marks of the chunk and drops the times for which none of its spans is scheduled any more:
-- `locate` can find a span only by its time.
local function note_postponed(entry)
  local prefix = scheduled_member('s', entry.score, entry.sequence .. entry.id .. '~')
  local mark, planned = read_marks(entry.id), plan(entry.id)
  local times = {planned.due}
  for time in string.gmatch(mark.postponed, '%d+') do
    if time ~= planned.due and is_scheduled(prefix, time) then
      times[#times + 1] = time
    end
  end
  mark.rounds, mark.postponed = planned.rounds, table.concat(times, ',')
  write_marks(entry.id, mark)
end

local function put_off(entry, first, count)
  local due = entry.detached and string.format('%.0f', now_ms + delay_ms) or plan(entry.id).due
  return_jobs(entry, first, count, now_ms, 'scheduled', function(ref)
    redis.call('ZADD', keys.scheduled, due, scheduled_member('s', entry.score, entry.sequence .. ref))
    if entry.detached then
      local record = read_record(ref)
      -- A record whose line cannot be read stays as it is: fsck finds the job where it waits.
      if record then
        record.status, record.at_ms = 'scheduled', tonumber(due)
        write_record(ref, record)
      end
    else
      postponed[entry.id] = entry
    end
  end)
end

local taken = 0
for position = FIRST_REF, #ARGV do
  local id, first, count, detached = parse_ref(ARGV[position])
  taken = taken + take_from_lease(entries, id, first, count, detached, put_off)
end
for _, entry in pairs(postponed) do
  note_postponed(entry)
end
write_lease(session, fence, entries)
return taken
