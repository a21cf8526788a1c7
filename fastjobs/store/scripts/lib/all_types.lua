-- The types of all keys; made by each call that includes it, so only by scripts that use most of them.

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
