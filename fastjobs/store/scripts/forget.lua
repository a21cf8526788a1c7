-- Removes what is left of a partition in which no job, session, definition or sender is stored.
--
-- @keys *
-- Returns '' when nothing of it is stored any more; else it has removed nothing, and returns the name of a key that is
-- not empty, or 'paused'.
-- O(1). Keeps: a queue that is in use is never forgotten, and no chunk is stored twice.

-- @include lib/read
-- @include lib/layout

-- @declared
local SIZE_COMMANDS = {hash = 'HLEN', zset = 'ZCARD', list = 'LLEN'}
-- Their contents say nothing about jobs.
local NOTES = {stats = true, wake = true}

check_layout(read('HGET', keys.stats, 'layout'))
local kept_by = ''
for _, key in ipairs(declared) do
  if read(SIZE_COMMANDS[key.type], keys[key.name]) > 0 and kept_by == '' and not NOTES[key.name] then
    kept_by = key.name
  end
end
if kept_by == '' and redis.call('HEXISTS', keys.stats, 'paused') == 1 then
  kept_by = 'paused'
end
if kept_by == '' then
  redis.call('DEL', keys.stats, keys.wake)
end
return kept_by
