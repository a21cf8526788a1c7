-- Jobs that finish in their chunk; `progress` has the other ways to leave one.

local function kept_jobs(mark)
  return mark.keep_ms > 0 and mark.finished or 0
end

-- Counts `count` jobs of a chunk of `n` as finished, to be kept for keep_ms. A chunk is kept whole, for the longest
-- time that was asked for. Returns how many more of its jobs are kept now.
local function chunk_finished(id, n, count, keep_ms, now_ms)
  local mark = count < n and read_marks(id) or fresh_marks()
  local before = kept_jobs(mark)
  mark.done, mark.finished, mark.keep_ms = mark.done + count, mark.finished + count, math.max(mark.keep_ms, keep_ms)
  note_progress(id, n, mark, now_ms)
  return kept_jobs(mark) - before
end
