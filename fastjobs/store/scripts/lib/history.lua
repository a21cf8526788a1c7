-- Jobs that ended are kept for a while. `finished` holds, per chunk, segments "<first>+<count> <head>", each followed
-- by the times of its jobs. A head is eight bytes of time, a byte of length, and the worker's name of that length.
-- `finished_log` holds "<jobs> <id>" of each chunk or detached job that ended whole (id is the chunk's id or the job's
-- ref), by when to forget it. The payload stays in `chunks` or `jobs` for as long.

-- Adds a chunk or detached job that ended whole to the history, with how many of its jobs finished.
local function log_finished(id, finished, forget_ms)
  redis.call('ZADD', keys.finished_log, string.format('%.0f', forget_ms), string.format('%d %s', finished, id))
end
