"""Celery; tuned: one producer that publishes in kombu's batches, a worker that runs jobs itself, more prefetching."""

import sys
from pathlib import Path

from celery import Celery

from bench.peers import jobs

_BATCH = 1000
app = Celery("peers", broker=f"redis+socket://{jobs.SOCKET}")
if jobs.TUNED:
    app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=1000, worker_disable_rate_limits=True)
_tasks = {handler.__name__: app.task(handler) for handler in jobs.HANDLERS}


def bulk(items):
    if not jobs.TUNED:
        for item in items:
            _tasks["welcome"].delay(**item)
        return
    with app.producer_or_acquire() as producer, producer.batch(max_size=_BATCH):
        for item in items:
            _tasks["welcome"].apply_async(kwargs=item, producer=producer)


def one(job, **arguments):
    _tasks[job].delay(**arguments)


def worker():
    command = [Path(sys.executable).with_name("celery"), "-A", __name__, "worker", "-c", "1"]
    tuning = ["-P", "solo", "-l", "error", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    return [*command, *tuning] if jobs.TUNED else command
