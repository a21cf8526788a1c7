"""What `fastjobs-worker` runs: a supervisor, and processes that lease, run and report jobs."""
