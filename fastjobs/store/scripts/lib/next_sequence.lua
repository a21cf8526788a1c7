-- Gives out the next sequence of the queue; `place` says what that is.
local function next_sequence(now_us)
  local sequence = sequence_after(redis.call('HGET', keys.stats, 'sequence'), now_us)
  redis.call('HSET', keys.stats, 'sequence', sequence)
  return sequence
end
