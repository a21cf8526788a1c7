-- The fences that a session holds, oldest first.
local function held_fences(session)
  local fences = {}
  local held = redis.call('HGET', keys.leases, session)
  if held then
    for fence in string.gmatch(held, ' (%d+)') do
      fences[#fences + 1] = fence
    end
  end
  return fences
end
