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

local READING_COMMANDS = {
  chunks = 'HLEN', marks = 'HLEN', jobs = 'HLEN', leases = 'HLEN', finished = 'HLEN', recurring = 'HLEN', stats = 'HLEN',
  ready = 'ZCARD', scheduled = 'ZCARD', sessions = 'ZCARD', failed = 'ZCARD', cancelled = 'ZCARD', cancelling = 'ZCARD',
  finished_log = 'ZCARD', recurring_due = 'ZCARD', wake = 'LLEN',
}

-- The same for a table of keys by their names.
local function check_types(keys)
  for name, key in pairs(keys) do
    check_type(READING_COMMANDS[name], key)
  end
end
