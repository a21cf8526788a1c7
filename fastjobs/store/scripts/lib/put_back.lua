-- Puts jobs of a lease entry back into `ready`, each at its place; returns how many: the others were cancelled.
local function put_back(entry, first, count, now_ms)
  return return_jobs(entry, first, count, now_ms, 'queued', function(ref)
    redis.call('ZADD', keys.ready, entry.score, entry.sequence .. ref)
  end)
end
