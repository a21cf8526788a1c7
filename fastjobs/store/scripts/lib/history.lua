-- Jobs that ended are kept for a while. `finished` holds, per chunk that ended, segments "<first>+<count> <head>" in
-- order (`first` has three digits), each followed by the times of its jobs. A head is eight bytes of time, a byte of
-- length, and the worker's name of that length. While a chunk goes on, each of its segments is a member of `finishing`,
-- "<chunk id>~<segment>": an ack writes what is new, however much the chunk has. `finished_log` holds "<jobs> <id>" of
-- each chunk or detached job that ended whole (id is a chunk's id or a ref), by when to forget it. The payload stays in
-- `chunks` or `jobs` for as long.

-- Adds a chunk or detached job that ended whole to the history, with how many of its jobs finished.
local function log_finished(id, finished, forget_ms)
  redis.call('ZADD', keys.finished_log, string.format('%.0f', forget_ms), string.format('%d %s', finished, id))
end

-- Keeps the segment of some jobs of a chunk that goes on.
local function note_finishing(id, segment)
  redis.call('ZADD', keys.finishing, 0, id .. '~' .. segment)
end

-- Takes the segments of a chunk that ends out of `finishing`; returns them one behind the other.
local function take_finishing(id)
  local low, high = '[' .. id .. '~', '(' .. id .. '~~'
  local members = redis.call('ZRANGE', keys.finishing, low, high, 'BYLEX')
  if #members == 0 then
    return ''
  end
  for position = 1, #members do
    members[position] = string.sub(members[position], #id + 2)
  end
  redis.call('ZREMRANGEBYLEX', keys.finishing, low, high)
  return table.concat(members)
end
