-- Reads that fail, naming the key, when it is of a foreign type. Scripts make them before their first write: what a
-- script has written stays when it fails.

local function read(command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) == 'table' and reply.err then
    error(reply.err .. ' (' .. key .. ')')
  end
  return reply
end

-- Checks that the command can read each of the keys.
local function check_type(command, ...)
  for position = 1, select('#', ...) do
    read(command, (select(position, ...)))
  end
end
