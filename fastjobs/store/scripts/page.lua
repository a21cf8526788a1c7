-- Reads a page of a sorted set, from where the last one ended; writes nothing.
--
-- @keys ready scheduled failed cancelled finished_log stats
-- ARGV[1] key        which of them
-- ARGV[2] score      of the last entry of the page before; '' = from the beginning
-- ARGV[3] member     that entry
-- ARGV[4] limit      most entries to return
-- ARGV[5] reverse    1 = from the highest score down
-- Returns {member, score, ...}.
-- O(log^2 entries + limit). Keeps: a page goes on exactly behind the last entry, also when that entry is gone.

-- @include lib/read
-- @include lib/layout
-- @include lib/order

local zset, score, member, limit, reverse = keys[ARGV[1]], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1'

check_layout(read('HGET', keys.stats, 'layout'))
if score == '' then
  return redis.call(reverse and 'ZREVRANGE' or 'ZRANGE', zset, 0, limit - 1, 'WITHSCORES')
end
local before = rank_of(zset, score, member)
if not reverse then
  local first = redis.call('ZSCORE', zset, member) == score and before + 1 or before
  return redis.call('ZRANGE', zset, first, first + limit - 1, 'WITHSCORES')
end
local behind = redis.call('ZCARD', zset) - before
return redis.call('ZREVRANGE', zset, behind, behind + limit - 1, 'WITHSCORES')
