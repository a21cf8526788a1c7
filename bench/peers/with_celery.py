"""Celery, without results, with one process that runs jobs itself."""

import sys
from pathlib import Path

from celery import Celery

from bench.peers import jobs

app = Celery("peers", broker=f"redis+socket://{jobs.SOCKET}")
app.conf.task_ignore_result = True
_welcome, _mark = app.task(jobs.welcome), app.task(jobs.mark)


def enqueue(items):
    with app.producer_or_acquire() as producer:
        for item in items:
            _welcome.apply_async(kwargs=item, producer=producer)


def mark(name):
    _mark.delay(name)


def worker():
    options = ["-P", "solo", "-c", "1", "-l", "warning", "--without-gossip", "--without-mingle"]
    return [Path(sys.executable).with_name("celery"), "-A", __name__, "worker", *options]
