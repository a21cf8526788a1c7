-- As `counters`, for scripts that count many jobs: collects the changes until `write_counts` writes them.

-- @include lib/number

local changes = {}

local function change_by(field, count)
  changes[field] = (changes[field] or 0) + count
end

local function move_count(from, to, count)
  if from then
    change_by(from, -count)
  end
  if to then
    change_by(to, count)
  end
end

local function count_job(status, job_type, change)
  change_by(status, change)
  change_by(status .. ':' .. job_type, change)
end

-- One read and one write, however many counters have changed: each write takes its place in the server's log.
local function write_counts()
  local fields, values = {}, {}
  for field, change in pairs(changes) do
    if change ~= 0 then
      fields[#fields + 1] = field
    end
  end
  if #fields == 0 then
    return
  end
  local counts = redis.call('HMGET', keys.stats, unpack(fields))
  for position, field in ipairs(fields) do
    local count = number_in(counts[position], 0) + changes[field]
    if count == 0 and string.find(field, ':', 1, true) then
      redis.call('HDEL', keys.stats, field)
    else
      values[#values + 1] = field
      values[#values + 1] = string.format('%.0f', count)
    end
  end
  if #values > 0 then
    redis.call('HSET', keys.stats, unpack(values))
  end
  changes = {}
end
