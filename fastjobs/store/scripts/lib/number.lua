-- Numbers that are stored as text.

-- NUMBER_LIMIT: doubles hold smaller whole numbers exactly.
local NUMBER_LIMIT = 2 ^ 53

-- The number in a stored text; the default where there is none, or where it is no number that can be counted with.
local function number_in(text, default)
  local number = tonumber(text)
  if number and number > -NUMBER_LIMIT and number < NUMBER_LIMIT then
    return math.floor(number)
  end
  return default
end
