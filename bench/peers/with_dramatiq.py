"""Dramatiq, one process with its usual eight threads; it has no bulk call."""

import sys
from pathlib import Path

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.peers import jobs

broker = RedisBroker(url=jobs.URL)
dramatiq.set_broker(broker)
_welcome, _mark = dramatiq.actor(jobs.welcome), dramatiq.actor(jobs.mark)


def enqueue(items):
    for item in items:
        _welcome.send(**item)


def mark(name):
    _mark.send(name)


def worker():
    return [Path(sys.executable).with_name("dramatiq"), __name__, "-p", "1"]
