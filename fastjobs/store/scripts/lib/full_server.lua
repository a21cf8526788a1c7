-- A server at `maxmemory` refuses the first command of a script that takes memory, but no command once the script has
-- written something. Scripts that free more memory than they take begin with a write that takes none, so that you can
-- still drain a full server.
local function run_when_full(key)
  redis.call('PERSIST', key)
end

-- Whether the server is at `maxmemory`: then it refuses a command that may take memory, although this one changes
-- nothing. Only before the first write of a script does it answer that.
local function is_full(zset)
  local reply = redis.pcall('ZADD', zset, 'XX', 0, '')
  return type(reply) == 'table' and reply.err ~= nil and string.find(reply.err, 'OOM command', 1, true) ~= nil
end
