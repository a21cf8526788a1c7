-- Whether a session is open: it has a deadline, and no reclaim has taken it away (0 = it is being reclaimed).
local function is_open(session)
  local deadline = read('ZSCORE', keys.sessions, session)
  return deadline and tonumber(deadline) > 0
end
