-- A ref names jobs: "<chunk id>" a chunk of one, "<chunk id>~<first>+<count>" a span of a larger chunk
-- (first has three digits, so refs of one chunk sort in order), "<chunk id>~<index>" a detached job.
-- A member of `ready` is a 13 digit hexadecimal sequence number followed by a ref.

-- Takes a ref apart: chunk id, first index, count, and whether it is a detached job.
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

-- Takes a member of `ready` apart: sequence and ref; nil when it is none, but something that was put there.
local function parse_member(member)
  return string.match(member, '^(%x%x%x%x%x%x%x%x%x%x%x%x%x)([%w_.:~+-]+)$')
end

-- The ref of a run of jobs of the chunk that `ref` belongs to; `ref` itself when nothing was cut off.
local function span_ref(ref, id, first, count)
  if not string.find(ref, '+', 1, true) then
    return ref
  end
  return string.format('%s~%03d+%d', id, first, count)
end
