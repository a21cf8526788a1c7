-- A lease is the field "<session>:<fence>" of `leases`: "<score> <member>" pairs of `ready`, separated by
-- spaces, so that what is given back returns to its exact place. The field "<session>" lists what the
-- session holds: "<request>:<fence>" of its last fetch, then all its fences.

-- The lease's entries, each {score, sequence, ref, id, first, count, detached}; nil when there is none.
local function read_lease(leases, session, fence)
  local packed = redis.call('HGET', leases, session .. ':' .. fence)
  if not packed then
    return nil
  end
  local entries = {}
  for score, sequence, ref in string.gmatch(packed, '(%S+) (%x%x%x%x%x%x%x%x%x%x%x%x%x)(%S+)') do
    local id, first, count, detached = parse_ref(ref)
    entries[#entries + 1] = {
      score = score, sequence = sequence, ref = ref,
      id = id, first = first, count = count, detached = detached,
    }
  end
  return entries
end
