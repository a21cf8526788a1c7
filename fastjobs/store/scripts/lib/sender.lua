-- A sender is one thread of a producer. It numbers the chunks that it sends to a partition from 1 on, and sends a chunk
-- again under the same number. `senders` holds "<forget at ms> <highest>", and " <first>+<count>" for each range of
-- numbers below the highest whose chunks are not stored: refused, conflicting, or overtaken. An entry that cannot be
-- read counts as none.

-- Takes an entry apart: the highest number, and the ranges.
local function read_sender(entry)
  local highest, missing = string.match(entry or '', '^%d+ (%d+)(.*)$')
  if not highest or string.gsub(missing, ' %d+%+%d+', '') ~= '' then
    return 0, ''
  end
  return tonumber(highest), missing
end

local function sent_range(first, behind)
  return first < behind and string.format(' %.0f+%.0f', first, behind - first) or ''
end

-- Whether the entry says that the chunk of this number was stored, and the entry to write when it is stored now.
local function judge_sent(entry, sent, until_ms)
  local highest, missing = read_sender(entry)
  local is_stored = sent <= highest
  if is_stored then
    missing = string.gsub(missing, ' (%d+)%+(%d+)', function(first, count)
      first = tonumber(first)
      local behind = first + count
      if sent >= first and sent < behind then
        is_stored = false
        return sent_range(first, sent) .. sent_range(sent + 1, behind)
      end
    end)
  else
    missing, highest = missing .. sent_range(highest + 1, sent), sent
  end
  return is_stored, string.format('%.0f %.0f%s', until_ms, highest, missing)
end
