-- Fails when one of the keys cannot be read by the command, so that a foreign key stops a script before its first write:
-- what a script has written stays when it fails.
local function check_type(command, ...)
  for _, key in ipairs({...}) do
    local reply = redis.pcall(command, key)
    if type(reply) == 'table' then
      error(reply.err .. ' (' .. key .. ')')
    end
  end
end
