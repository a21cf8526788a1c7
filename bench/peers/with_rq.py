"""RQ; tuned: its bulk call, the worker that does not fork for each job, no results, no logs."""

import sys
from pathlib import Path

import redis
from rq import Queue

from bench.peers import jobs

_BATCH = 1000
_queue = Queue(connection=redis.Redis(unix_socket_path=jobs.SOCKET))


def bulk(items):
    if not jobs.TUNED:
        for item in items:
            _queue.enqueue(jobs.welcome, kwargs=item)
        return
    for start in range(0, len(items), _BATCH):
        batch = items[start : start + _BATCH]
        _queue.enqueue_many([Queue.prepare_data(jobs.welcome, kwargs=item, result_ttl=0) for item in batch])


def one(job, **arguments):
    _queue.enqueue(getattr(jobs, job), kwargs=arguments, result_ttl=0 if jobs.TUNED else None)


def worker():
    command = [Path(sys.executable).with_name("rq"), "worker", "--url", jobs.URL]
    return [*command, "-w", "rq.worker.SimpleWorker", "-q"] if jobs.TUNED else command
