-- A place in line is a score and a sequence. The score is minus the priority. The sequence is a fixed number of
-- hexadecimal digits of microseconds: when the job was enqueued or, if it was delayed, when it is due. `ready` holds
-- "<sequence><ref>" by score, `scheduled` holds "<s or r><score>,<sequence><ref>" by due time: a job that returns to
-- `ready` returns to its exact place.

-- @const SEQUENCE_FORMAT
local US_PER_MS = 1000

-- The sequence after the last one that was given out (nil when there was none): the server's clock, or the last one
-- plus one where the clock would repeat it or go back.
local function sequence_after(last, now_us)
  return string.format(SEQUENCE_FORMAT, math.max(now_us, last and tonumber(last, 16) + 1 or 0))
end

-- The sequence of a job that is due at `due_ms`: it stands in line as if it had been enqueued then.
local function due_sequence(due_ms)
  return string.format(SEQUENCE_FORMAT, due_ms * US_PER_MS)
end

-- The member of `scheduled` that stands for a member of `ready`; kind is "s" scheduled or "r" retrying.
local function scheduled_member(kind, score, member)
  return kind .. score .. ',' .. member
end
