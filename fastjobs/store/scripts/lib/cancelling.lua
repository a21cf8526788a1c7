-- The executing jobs that are to be cancelled: `cancelling` has their refs, by when that was asked.

-- @include lib/job_ref

-- So few are read whole, once; more are looked up.
local FEW_CANCELLING = 64
local cancelling_number, cancelling_refs

-- Calls visit(index) for each of the jobs first .. first+count-1 of a chunk that is to be cancelled, in order. Takes
-- one command at most, however many jobs and cancellations there are.
local function visit_cancelling(id, first, count, visit)
  cancelling_number = cancelling_number or redis.call('ZCARD', keys.cancelling)
  if cancelling_number > FEW_CANCELLING then
    local refs = {}
    for position = 1, count do
      refs[position] = job_ref(id, first + position - 1)
    end
    for position, score in ipairs(redis.call('ZMSCORE', keys.cancelling, unpack(refs))) do
      if score then
        visit(first + position - 1)
      end
    end
  elseif cancelling_number > 0 then
    if not cancelling_refs then
      cancelling_refs = redis.call('ZRANGE', keys.cancelling, 0, -1)
      -- The refs of a chunk sort by index.
      table.sort(cancelling_refs)
    end
    for _, ref in ipairs(cancelling_refs) do
      local of_chunk, index = string.match(ref, '^(.*)~(%d+)$')
      if of_chunk == id and tonumber(index) >= first and tonumber(index) < first + count then
        visit(tonumber(index))
      end
    end
  end
end
