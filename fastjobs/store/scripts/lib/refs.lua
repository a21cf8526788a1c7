-- A ref names jobs: "<chunk id>" the job of a chunk of one, "<chunk id>~<first>+<count>" a span of a larger chunk
-- "<chunk id>~<index>" a detached job. `first` and `index` have three digits, so the refs of one chunk sort by index.

-- @const MAX_CHUNK_JOBS
-- @const MAX_REF_BYTES

-- Takes a ref apart: chunk id, first index, count, and whether it names a detached job; nil for what is no ref.
local function parse_ref(ref)
  if #ref > MAX_REF_BYTES then
    return nil
  end
  if not string.find(ref, '~', 1, true) then
    return ref, 0, 1, false
  end
  local id, first, plus, count = string.match(ref, '^([^~]+)~(%d%d%d)(%+?)(%d*)$')
  if not id or (plus == '') ~= (count == '') then
    return nil
  end
  first, count = tonumber(first), tonumber(count)
  if not count then
    return id, first, 1, true
  end
  if count > 0 and first + count <= MAX_CHUNK_JOBS then
    return id, first, count, false
  end
end

-- The ref of some jobs of the chunk that `ref` belongs to; `ref` itself when nothing was cut off.
local function span_ref(ref, id, first, count)
  if not string.find(ref, '+', 1, true) then
    return ref
  end
  return string.format('%s~%03d+%d', id, first, count)
end
