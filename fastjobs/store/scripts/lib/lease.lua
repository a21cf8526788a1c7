-- A lease is the field "<session>:<fence>" of `leases`: pairs "<score> <member of ready>", separated by spaces, so that
-- jobs that a session gives back return to their exact place. The field "<session>" lists what the session holds:
-- "<request>:<fence>" of its last fetch, then all its fences.

-- @pattern LEASED (<score>) (<sequence>)([%w_.:~+-]+)

-- The entries of a lease, each {score, sequence, ref, id, first, count, detached}; nil when there is no such lease.
-- What cannot be read is left out, and fsck puts its jobs back in line.
local function read_lease(session, fence)
  local packed = read('HGET', keys.leases, session .. ':' .. fence)
  if not packed then
    return nil
  end
  local entries = {}
  for score, sequence, ref in string.gmatch(packed, LEASED) do
    local id, first, count, detached = parse_ref(ref)
    if id then
      entries[#entries + 1] = {
        score = score, sequence = sequence, ref = ref,
        id = id, first = first, count = count, detached = detached,
      }
    end
  end
  return entries
end
