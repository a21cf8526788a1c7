-- As `counters`, for scripts that count many jobs: collects the changes until `write_counts` writes them.

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

local function write_counts()
  for field, change in pairs(changes) do
    if change ~= 0 and redis.call('HINCRBY', keys.stats, field, change) == 0 and string.find(field, ':', 1, true) then
      redis.call('HDEL', keys.stats, field)
    end
  end
  changes = {}
end
