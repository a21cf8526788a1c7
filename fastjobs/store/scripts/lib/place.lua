-- A place in line is a score and a sequence. The score is minus the priority. The sequence is a fixed number of
-- hexadecimal digits of microseconds: when the job was enqueued or, if it was delayed, when it is due. `ready` holds
-- "<sequence><ref>" by score, `scheduled` holds "<s or r><score>,<sequence><ref>" by due time: a job that returns to
-- `ready` returns to its exact place.

-- @const SEQUENCE_FORMAT
-- LAST_SEQUENCE: the largest that has the digits of a sequence.
local US_PER_MS, LAST_SEQUENCE = 1000, 2 ^ 52 - 1

-- The sequence after the last one that was given out (nil when there was none): the server's clock, or the last one
-- plus one where the clock would repeat it or go back. A last one that cannot be read counts as none.
local function sequence_after(last, now_us)
  local following = (last and tonumber(last, 16) or 0) + 1
  return string.format(SEQUENCE_FORMAT, following <= LAST_SEQUENCE and math.max(now_us, following) or now_us)
end

-- The sequence of a job that is due at `due_ms`: it stands in line as if it had been enqueued then.
local function due_sequence(due_ms)
  return string.format(SEQUENCE_FORMAT, due_ms * US_PER_MS)
end

-- The member of `scheduled` that stands for a member of `ready`; kind is "s" scheduled or "r" retrying.
local function scheduled_member(kind, score, member)
  return kind .. score .. ',' .. member
end
