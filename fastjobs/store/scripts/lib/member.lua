-- A member of `ready` is a sequence followed by a ref.

-- @pattern MEMBER ^(<sequence>)([%w_.:~+-]+)$

-- Takes a member of `ready` apart: sequence and ref; nil for anything else that somebody put there.
local function parse_member(member)
  return string.match(member, MEMBER)
end
