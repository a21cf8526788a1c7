-- The ref of the job at an index of a chunk once it is detached. The index has three digits, as that of a span, so that
-- all refs of a chunk sort by index: a span that holds a job stands before every ref of a later job.
local function job_ref(id, index)
  return string.format('%s~%03d', id, index)
end
