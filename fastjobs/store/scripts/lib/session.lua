-- Whether the session is open: it has a deadline that no reclaim has taken away (0 = being reclaimed).
local function is_open(sessions, session)
  local deadline = redis.call('ZSCORE', sessions, session)
  return deadline and tonumber(deadline) > 0
end
