-- Takes jobs out of a lease and stores the rest; `lease` reads it.

-- Stores what is left of a lease. An empty lease goes, and its fence with it.
local function write_lease(session, fence, entries)
  local parts = {}
  for _, entry in ipairs(entries) do
    if entry.count > 0 then
      parts[#parts + 1] = entry.score .. ' ' .. entry.sequence .. entry.ref
    end
  end
  if #parts > 0 then
    redis.call('HSET', keys.leases, session .. ':' .. fence, table.concat(parts, ' '))
    return
  end
  redis.call('HDEL', keys.leases, session .. ':' .. fence)
  local held = redis.call('HGET', keys.leases, session)
  if held then
    local kept = string.gsub(held .. ' ', ' ' .. fence .. ' ', ' ', 1)
    redis.call('HSET', keys.leases, session, string.sub(kept, 1, -2))
  end
end

-- The entries by chunk id; made once for each lease that is read.
local function index_entries(entries)
  if not entries.by_id then
    entries.by_id = {}
    for position = 1, #entries do
      local id = entries[position].id
      local of_id = entries.by_id[id] or {}
      of_id[#of_id + 1] = entries[position]
      entries.by_id[id] = of_id
    end
  end
  return entries.by_id
end

-- Takes the jobs first .. first+count-1 of a chunk (or one detached job) out of the entries of a lease. Calls
-- visit(entry, first, count) for each part that was still there; returns the number of jobs in these parts. Jobs that
-- an earlier call took are no longer there: that makes replays harmless.
local function take_from_lease(entries, id, first, count, detached, visit)
  local taken = 0
  local of_id = index_entries(entries)[id] or {}
  for position = 1, #of_id do
    local entry = of_id[position]
    if entry.detached == detached and entry.count > 0 then
      local from = math.max(first, entry.first)
      local to = math.min(first + count, entry.first + entry.count)
      if from < to then
        local tail = entry.first + entry.count - to
        if tail > 0 and from > entry.first then
          local rest = {
            score = entry.score, sequence = entry.sequence, ref = span_ref(entry.ref, id, to, tail),
            id = id, first = to, count = tail, detached = detached,
          }
          entries[#entries + 1], of_id[#of_id + 1] = rest, rest
          tail = 0
        end
        visit(entry, from, to - from)
        taken = taken + to - from
        if tail > 0 then
          entry.first, entry.count = to, tail
        else
          entry.count = from - entry.first
        end
        entry.ref = span_ref(entry.ref, id, entry.first, entry.count)
      end
    end
  end
  return taken
end
