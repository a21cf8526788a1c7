-- Reads keys that may have a foreign type. A script makes these reads before its first write, because what it has
-- written stays when it fails later. `-- @check` stands for one such read of each declared key.

-- Calls a command that reads a key. The error for a key of a foreign type names the key.
local function read(command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) == 'table' and reply.err then
    error(reply.err .. ' (' .. key .. ')')
  end
  return reply
end
