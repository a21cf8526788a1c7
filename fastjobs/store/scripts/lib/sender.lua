-- A sender is one thread of a producer. It numbers the chunks that it sends to a partition from 1 on, and sends a chunk
-- again under the same number. `senders` holds "<forget at ms> <highest>", and " <first>+<count>" for each range of
-- numbers below the highest whose chunks are not stored: refused, conflicting, or overtaken. An entry that cannot be
-- read counts as none.

-- Judges a chunk by the entry of its sender: 'new' when it was never stored, 'stored' when it was, or 'unknown'. Also
-- returns the entry to write when the chunk is stored now.
local function judge_sent(entry, number, forget_ms)
  -- A sender that was forgotten may send some of its chunks again, those with the last few of its numbers. If it is
  -- then remembered anew, it has gaps, or numbers up to this one. Without these, its entry speaks for all it sent.
  local DOUBTFUL_NUMBERS = 64
  local highest = tonumber(string.match(entry or '', '^%d+ (%d+)$'))
  if highest and number == highest + 1 and number > DOUBTFUL_NUMBERS then
    return 'new', string.format('%.0f %.0f', forget_ms, number)
  end

  local function range(first, behind)
    return first < behind and string.format(' %.0f+%.0f', first, behind - first) or ''
  end

  local missing = ''
  if not highest then
    local last, ranges = string.match(entry or '', '^%d+ (%d+)( .+)$')
    if last and string.gsub(ranges, ' %d+%+%d+', '') == '' then
      highest, missing = tonumber(last), ranges
    end
  end
  highest = highest or 0
  if number > highest then
    missing = missing .. range(highest + 1, number)
    return 'unknown', string.format('%.0f %.0f%s', forget_ms, number, missing)
  end
  local known = 'stored'
  missing = string.gsub(missing, ' (%d+)%+(%d+)', function(first, count)
    first = tonumber(first)
    local behind = first + count
    if number >= first and number < behind then
      known = 'unknown'
      return range(first, number) .. range(number + 1, behind)
    end
  end)
  return known, string.format('%.0f %.0f%s', forget_ms, highest, missing)
end
