"""RQ, with its own bulk call and the worker that does not fork for each job."""

import sys
from pathlib import Path

from rq import Queue

from bench.peers import jobs

_queue = Queue(connection=jobs.client())


def enqueue(items):
    for start in range(0, len(items), 500):
        calls = [Queue.prepare_data(jobs.welcome, kwargs=item) for item in items[start : start + 500]]
        _queue.enqueue_many(calls)


def mark(name):
    _queue.enqueue(jobs.mark, name)


def worker():
    return [Path(sys.executable).with_name("rq"), "worker", "--url", jobs.URL, "-w", "rq.worker.SimpleWorker", "-q"]
