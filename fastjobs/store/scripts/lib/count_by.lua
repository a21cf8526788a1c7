-- Counts in a field of `stats`, also where somebody has put something else there.

-- Adds to a counter and returns what it says then. One that is no number begins anew, at `base` if that is given, and
-- fsck counts it again: a script must not fail between its writes.
local function count_by(field, change, base)
  local total = redis.pcall('HINCRBY', keys.stats, field, string.format('%.0f', change))
  if type(total) == 'number' then
    return total
  end
  redis.call('HSET', keys.stats, field, string.format('%.0f', (base or 0) + change))
  return (base or 0) + change
end
