-- Gives out revisions that the queue has not used before.

-- @include lib/count_by

-- The next revision; if the counter is damaged, the seconds since 1970, which are more than it can have counted.
local function next_revision()
  return string.format('%.0f', count_by('recurring_revision', 1, tonumber(redis.call('TIME')[1])))
end
