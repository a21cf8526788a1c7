-- Reads a page of a sorted set, from where the last one ended; writes nothing.
--
-- @keys ready scheduled failed cancelled finished_log stats
-- ARGV[1] key        which of them
-- ARGV[2] score      of the last entry of the page before; '' = from the beginning
-- ARGV[3] member     that entry
-- ARGV[4] limit      most entries to return
-- ARGV[5] reverse    1 = from the highest score down
-- ARGV[6] kind       return only members that begin with this letter; '' = all
-- Returns {member, score, ...}: first the last entry that it looked at, or '' and '' when there are no more, then those
-- of the page. A page of one kind may be short, or empty, though there are more.
-- O(log^2 entries + limit), of one kind + LOOKED_AT. Keeps: a page goes on exactly behind the last entry, also when
-- that entry is gone.

-- @include lib/read
-- @include lib/layout
-- @include lib/order

local zset, score, member, limit, reverse = keys[ARGV[1]], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1'
local kind = ARGV[6]
-- Of one kind, most entries to look at in this call, and at a time.
local LOOKED_AT, STEP = 5000, 500

check_layout(read('HGET', keys.stats, 'layout'))

-- The rank, by the order that was asked for, of the first entry of the page.
local function first_rank()
  if score == '' then
    return 0
  end
  local before = rank_of(zset, score, member)
  if reverse then
    return redis.call('ZCARD', zset) - before
  end
  return redis.call('ZSCORE', zset, member) == score and before + 1 or before
end

local rank, page, ended = first_rank(), {'', ''}, false
local last = rank + (kind == '' and limit or LOOKED_AT)
while rank < last and #page < 2 * limit + 2 and not ended do
  local count = math.min(last - rank, kind == '' and limit or STEP)
  local entries = redis.call(reverse and 'ZREVRANGE' or 'ZRANGE', zset, rank, rank + count - 1, 'WITHSCORES')
  ended = #entries < 2 * count
  for position = 1, #entries, 2 do
    if kind == '' or string.sub(entries[position], 1, 1) == kind then
      page[#page + 1], page[#page + 2] = entries[position], entries[position + 1]
    end
    page[1], page[2] = entries[position], entries[position + 1]
    if #page == 2 * limit + 2 then
      ended = ended and position + 1 == #entries
      break
    end
  end
  rank = rank + count
end
if ended then
  page[1], page[2] = '', ''
end
return page
