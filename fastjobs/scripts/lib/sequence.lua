-- The next place in line, as 13 hexadecimal digits: the server's clock in microseconds, pushed on by
-- one where that would repeat or go back. It orders jobs of one priority and tells when they came.
local function next_sequence(stats, now_us)
  local last = tonumber(redis.call('HGET', stats, 'sequence') or 0)
  local sequence = math.max(now_us, last + 1)
  redis.call('HSET', stats, 'sequence', string.format('%.0f', sequence))
  return string.format('%013x', sequence)
end
