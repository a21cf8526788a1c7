-- As `counters`, for scripts that count many jobs: the changes are collected and written by `write_counts`.

local changes = {}

local function change_by(field, count)
  changes[field] = (changes[field] or 0) + count
end

local function move_count(_, from, to, count)
  if from then
    change_by(from, -count)
  end
  if to then
    change_by(to, count)
  end
end

local function count_job(_, state, type, change)
  change_by(state, change)
  change_by(state .. ':' .. type, change)
end

local function write_counts(stats)
  for field, change in pairs(changes) do
    if change ~= 0 and redis.call('HINCRBY', stats, field, change) == 0 and string.find(field, ':', 1, true) then
      redis.call('HDEL', stats, field)
    end
  end
  changes = {}
end
