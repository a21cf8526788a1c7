-- Ranks in a sorted set, also of members that are not in it.

-- Whether one member stands before another of the same score: by bytes, which Lua's own `<` does not compare.
local function is_before(one, other)
  for position = 1, math.min(#one, #other) do
    local left, right = string.byte(one, position), string.byte(other, position)
    if left ~= right then
      return left < right
    end
  end
  return #one < #other
end

-- How many entries stand before (score, member); found by halving.
local function rank_of(zset, score, member)
  local low = redis.call('ZCOUNT', zset, '-inf', '(' .. score)
  local high = low + redis.call('ZCOUNT', zset, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_before(redis.call('ZRANGE', zset, middle, middle)[1], member) then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end
