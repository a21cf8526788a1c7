-- A place in line: the score (minus the priority) and the sequence, 13 hexadecimal digits of microseconds: when the
-- job was enqueued, or, for one that was delayed, when it is due. `ready` holds "<sequence><ref>" by score, `scheduled`
-- "<s or r><score>,<sequence><ref>" by due time: who returns to `ready` returns to its exact place.

-- The sequence that follows the last one given (nil when there was none): the server's clock, pushed on by one
-- where that would repeat or go back.
local function sequence_after(last, now_us)
  return string.format('%013x', math.max(now_us, last and tonumber(last, 16) + 1 or 0))
end

-- Gives the next sequence.
local function next_sequence(stats, now_us)
  local sequence = sequence_after(redis.call('HGET', stats, 'sequence'), now_us)
  redis.call('HSET', stats, 'sequence', sequence)
  return sequence
end

-- The sequence of a job that is due at `due_ms`: in line as if it had been enqueued then.
local function due_sequence(due_ms)
  return string.format('%013x', due_ms * 1000)
end

-- The member of `scheduled` that stands for a member of `ready`; kind is "s" scheduled or "r" retrying.
local function scheduled_member(kind, score, member)
  return kind .. score .. ',' .. member
end
