"""One fastjobs-worker: a supervisor and its processes, and what both share."""
