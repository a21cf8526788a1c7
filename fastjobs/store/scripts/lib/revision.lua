-- Gives out a revision that the queue has not used before.
local function next_revision()
  return string.format('%d', redis.call('HINCRBY', keys.stats, 'recurring_revision', 1))
end
