"""The same no-op jobs through other job queues for Python, one tiny adapter each.

An adapter has `enqueue(items)` for the reference jobs, `mark(name)` for a job that notes when it runs, and `worker()`,
the command line of a worker that runs one job at a time. Adapters run in an interpreter that has the peer installed;
fastjobs need not be there.
"""
