-- A ref names jobs: "<chunk id>" the job of a chunk of one, "<chunk id>~<first>+<count>" a span of a larger chunk
-- "<chunk id>~<index>" a detached job. `first` and `index` have three digits, so the refs of one chunk sort by index.

-- Takes a ref apart: chunk id, first index, count, and whether it names a detached job.
local function parse_ref(ref)
  local tilde = string.find(ref, '~', 1, true)
  if not tilde then
    return ref, 0, 1, false
  end
  local id = string.sub(ref, 1, tilde - 1)
  local plus = string.find(ref, '+', tilde, true)
  if not plus then
    return id, tonumber(string.sub(ref, tilde + 1)), 1, true
  end
  return id, tonumber(string.sub(ref, tilde + 1, plus - 1)), tonumber(string.sub(ref, plus + 1)), false
end

-- The ref of some jobs of the chunk that `ref` belongs to; `ref` itself when nothing was cut off.
local function span_ref(ref, id, first, count)
  if not string.find(ref, '+', 1, true) then
    return ref
  end
  return string.format('%s~%03d+%d', id, first, count)
end
