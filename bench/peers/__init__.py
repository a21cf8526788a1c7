"""The same jobs, which do nothing, through other job queues for Python, with one small adapter each.

An adapter is a module `with_<peer>.py` with `bulk(items)` for the reference jobs, `one(job, **arguments)` for one of
the jobs in jobs.py, `worker()` for the command line of a worker with one process, and `session()` if a connection must
be opened. The first two may be coroutines. Adapters run in an interpreter that has the peer and need not have
fastjobs. The environment says which configuration they use.
"""
