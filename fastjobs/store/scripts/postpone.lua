-- Moves leased, unstarted jobs into the schedule as they are: jobs this process cannot run, another may.
--
-- KEYS[1]  ready         {..}:ready         zset
-- KEYS[2]  leases        {..}:leases        hash
-- KEYS[3]  sessions      {..}:sessions      zset
-- KEYS[4]  chunks        {..}:chunks        hash
-- KEYS[5]  jobs          {..}:jobs          hash
-- KEYS[6]  marks         {..}:marks         hash
-- KEYS[7]  cancelling    {..}:cancelling    zset  refs of executing jobs to be cancelled
-- KEYS[8]  cancelled     {..}:cancelled     zset
-- KEYS[9]  finished      {..}:finished      hash
-- KEYS[10] finished_log  {..}:finished_log  zset
-- KEYS[11] stats         {..}:stats         hash
-- KEYS[12] wake          {..}:wake          list
-- KEYS[13] scheduled     {..}:scheduled     zset  "s<score>,<member of ready>" -> due (ms)
-- ARGV[1] session
-- ARGV[2] fence
-- ARGV[3] delay_ms   from the server's now
-- ARGV[4..] refs to postpone
-- Returns the number of jobs taken off the lease (0 for those that were before), or -1 when the session is fenced.
-- O(refs * lease). Keeps: a job that nobody can run now is neither lost nor fetched over and over; it keeps its place.

-- @include lib/types
-- @include lib/all_types
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
-- @include lib/wake
-- @include lib/settle
-- @include lib/give_back
-- @include lib/order

local keys = {
  ready = KEYS[1], leases = KEYS[2], sessions = KEYS[3], chunks = KEYS[4], jobs = KEYS[5], marks = KEYS[6],
  cancelling = KEYS[7], cancelled = KEYS[8], finished = KEYS[9], finished_log = KEYS[10], stats = KEYS[11],
  wake = KEYS[12], scheduled = KEYS[13],
}
local session, fence, delay_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])

check_types(keys)
if not is_open(keys.sessions, session) then
  return -1
end
local entries = read_lease(keys.leases, session, fence)
if not entries then
  return 0
end
run_when_full(keys.scheduled)
local now_ms = server_clock()
local due_ms = now_ms + delay_ms
local due = string.format('%.0f', due_ms)

-- Whether a span of the chunk is scheduled for this time.
local function is_scheduled(prefix, time)
  local rank = rank_of(keys.scheduled, time, prefix)
  local found = redis.call('ZRANGE', keys.scheduled, rank, rank)[1]
  return found and string.sub(found, 1, #prefix) == prefix and redis.call('ZSCORE', keys.scheduled, found) == time
end

-- Notes the time in the marks of the chunk, in place of times for which nothing of it is scheduled any more: `locate`
-- finds a span by its time only.
local function note_postponed(entry)
  local prefix = scheduled_member('s', entry.score, entry.sequence .. entry.id .. '~')
  local mark = read_marks(keys.marks, entry.id)
  local times = {due}
  for time in string.gmatch(mark.postponed, '%d+') do
    if time ~= due and is_scheduled(prefix, time) then
      times[#times + 1] = time
    end
  end
  mark.postponed = table.concat(times, ',')
  write_marks(keys.marks, entry.id, mark)
end

local function put_off(entry, first, count)
  return_jobs(keys, entry, first, count, now_ms, 'scheduled', function(ref)
    redis.call('ZADD', keys.scheduled, due, scheduled_member('s', entry.score, entry.sequence .. ref))
    if entry.detached then
      local record = read_record(keys.jobs, ref)
      record.state, record.at_ms = 'scheduled', due_ms
      write_record(keys.jobs, ref, record)
    elseif string.find(ref, '+', 1, true) then
      note_postponed(entry)
    end
  end)
end

local taken = 0
for position = 4, #ARGV do
  local id, first, count, detached = parse_ref(ARGV[position])
  taken = taken + take_from_lease(entries, id, first, count, detached, put_off)
end
write_lease(keys.leases, session, fence, entries)
return taken
