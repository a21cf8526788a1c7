-- Names the state of a queue: while the name stays the same, no job has moved. Each step that moves a job changes a
-- counter, the sequence or the fence, or counts in `moves`. Fields that say nothing about jobs are left out.
local function stillness()
  local stored, fields = redis.call('HGETALL', keys.stats), {}
  for position = 1, #stored, 2 do
    local name = stored[position]
    if name ~= 'tick' and name ~= 'grace_until' and name ~= 'paused'
      and name ~= 'senders_cursor' then
      fields[#fields + 1] = name .. '=' .. stored[position + 1]
    end
  end
  table.sort(fields)
  return redis.sha1hex(table.concat(fields, '\n'))
end
