-- Names the state of a queue: as long as it stays the same, no job has moved. Every step that moves a job changes a
-- counter, the sequence or the fence (operations that leave all of them as they were count `moves`); what only the clock and operators of the queue write is left out.
local function stillness(stats)
  local stored, fields = redis.call('HGETALL', stats), {}
  for position = 1, #stored, 2 do
    local name = stored[position]
    if name ~= 'tick' and name ~= 'grace_until' and name ~= 'paused' then
      fields[#fields + 1] = name .. '=' .. stored[position + 1]
    end
  end
  table.sort(fields)
  return redis.sha1hex(table.concat(fields, '\n'))
end
