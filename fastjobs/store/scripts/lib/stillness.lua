-- Names the state of a queue: while the name stays the same, no job has moved. Each step that moves a job changes a
-- counter, the sequence or the fence, or counts in `moves`. Fields that only the clock and the operators of the queue
-- write are left out.
local function stillness()
  local stored, fields = redis.call('HGETALL', keys.stats), {}
  for position = 1, #stored, 2 do
    local name = stored[position]
    if name ~= 'tick' and name ~= 'grace_until' and name ~= 'paused' then
      fields[#fields + 1] = name .. '=' .. stored[position + 1]
    end
  end
  table.sort(fields)
  return redis.sha1hex(table.concat(fields, '\n'))
end
