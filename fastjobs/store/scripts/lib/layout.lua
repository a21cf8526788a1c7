-- The layout is the version of all that a queue stores: formats of keys, members and values. `stats` holds it; a queue
-- without one has layout 1. A release that knows an older layout only can neither read nor write such a queue.

-- @const LAYOUT

-- Ends the script if the queue has another layout than this release knows; call it before the first write.
local function check_layout(layout)
  if layout and layout ~= LAYOUT then
    error('NEWERLAYOUT this queue is stored in layout ' .. layout .. ', this fastjobs knows layout ' .. LAYOUT
      .. ' (' .. keys.stats .. ')')
  end
end
