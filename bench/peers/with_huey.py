"""Huey; it has no bulk call. Tuned: no results, no logs."""

import sys
from pathlib import Path

from huey import RedisHuey

from bench.peers import jobs

huey = RedisHuey("peers", url=jobs.URL, results=not jobs.TUNED)
_tasks = {handler.__name__: huey.task()(handler) for handler in jobs.HANDLERS}


def bulk(items):
    for item in items:
        _tasks["welcome"](**item)


def one(job, **arguments):
    _tasks[job](**arguments)


def worker():
    command = [Path(sys.executable).with_name("huey_consumer"), f"{__name__}.huey"]
    return [*command, "-q", "-n", "-C"] if jobs.TUNED else command
