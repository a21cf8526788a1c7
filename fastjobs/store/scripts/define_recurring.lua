-- Defines a recurring job, or changes it, unless a newer version of it is stored.
--
-- @keys recurring recurring_due stats
-- ARGV[1] id
-- ARGV[2] version    a lower one never replaces a higher one
-- ARGV[3] due_ms     when it is due first, if the definition or its schedule is new
-- ARGV[4] overlap    skip | allow
-- ARGV[5] schedule   one line, opaque
-- ARGV[6] body       opaque
-- Returns {1 created, 2 changed, 3 the same as before, or 0 a newer version is stored; the stored definition}.
-- O(log definitions). Keeps: while the schedule stays the same, a definition given again (each deploy does) neither
-- moves the next due instant nor ends a pause.

-- @include lib/read
-- @include lib/layout
-- @include lib/recurring
-- @include lib/revision

local id, version, due_ms, overlap, schedule, body = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]
local REFUSED, CREATED, CHANGED, SAME = 0, 1, 2, 3

-- @check
local definition = read_definition(id)
local outcome = definition and CHANGED or CREATED
if definition then
  if tonumber(version) < tonumber(definition.version) then
    return {REFUSED, redis.call('HGET', keys.recurring, id)}
  end
  if version == definition.version and overlap == definition.overlap and schedule == definition.schedule
    and body == definition.body then
    return {SAME, redis.call('HGET', keys.recurring, id)}
  end
else
  definition = {status = 'active', last_due_ms = 0, last_run = '-'}
end
if schedule ~= definition.schedule then
  definition.due_ms = due_ms
end
definition.version, definition.overlap, definition.schedule, definition.body = version, overlap, schedule, body
definition.revision = next_revision()
write_definition(id, definition)
if definition.status == 'active' then
  redis.call('ZADD', keys.recurring_due, string.format('%.0f', definition.due_ms), id)
end
return {outcome, redis.call('HGET', keys.recurring, id)}
