"""Dramatiq; it has no bulk call. Tuned: more prefetching, one thread, only the middleware that retries."""

import os
import sys
from pathlib import Path

from bench.peers import jobs

if jobs.TUNED:
    # dramatiq reads this when it is imported.
    os.environ["dramatiq_queue_prefetch"] = "1000"  # noqa: SIM112

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Retries

broker = RedisBroker(url=jobs.URL, middleware=[Retries()] if jobs.TUNED else None)
dramatiq.set_broker(broker)
_actors = {handler.__name__: dramatiq.actor(handler) for handler in jobs.HANDLERS}


def bulk(items):
    for item in items:
        _actors["welcome"].send(**item)


def one(job, **arguments):
    _actors[job].send(**arguments)


def worker():
    command = [Path(sys.executable).with_name("dramatiq"), __name__, "-p", "1"]
    return [*command, "-t", "1"] if jobs.TUNED else command
