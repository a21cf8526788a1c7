"""Huey, without results, with one worker process; it has no bulk call."""

import sys
from pathlib import Path

from huey import RedisHuey

from bench.peers import jobs

huey = RedisHuey("peers", url=jobs.URL, results=False)
_welcome, _mark = huey.task()(jobs.welcome), huey.task()(jobs.mark)


def enqueue(items):
    for item in items:
        _welcome(**item)


def mark(name):
    _mark(name)


def worker():
    return [Path(sys.executable).with_name("huey_consumer"), f"{__name__}.huey", "-w", "1", "-k", "process", "-q"]
