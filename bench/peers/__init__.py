"""The same jobs that do nothing through other job queues for Python, one tiny adapter each.

An adapter is a module `with_<peer>.py` with `bulk(items)` for the reference jobs, `one(job, **arguments)` for one of
the jobs in jobs.py, `worker()`, the command line of a worker with one process, and `session()` where a connection has
to be opened. The first two may be coroutines. Adapters run in an interpreter that has the peer and need not have
fastjobs; which configuration they use comes from the environment.
"""
