"""The app of the chaos run: the same few handlers on several queues; each writes when it starts and how it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from queue import Queue
from typing import Any

from fastjobs import Context, FastJobs, JobCancelled, JobTimeout, StoreError
from tests.chaos.journal import JOURNAL_VARIABLE, Journal

QUEUES = ("alpha", "beta", "gamma")
#: Further runs of a job that raises on purpose, and of one that always does.
FLAKY_RETRIES = 5
DOOMED_RETRIES = 1
#: Further runs of a job that is stuck in its first one, and its timeout. In a frozen process later runs time out, too.
STUCK_RETRIES = 20
STUCK_TIMEOUT_S = 0.3

#: Shared by all jobs of a process: one that is left locked holds up those after it.
_lock = threading.Lock()
_items: Queue[int] = Queue()
_log = logging.getLogger("chaos")


class Planned(Exception):
    """Raised on purpose."""


@cache
def _journal() -> Journal:
    journal = Journal(Path(os.environ[JOURNAL_VARIABLE]))
    journal.write("process", os.getpid(), os.getppid())
    return journal


@contextmanager
def _noted(key: int, attempt: int) -> Iterator[None]:
    journal, pid = _journal(), os.getpid()
    journal.write("start", key, attempt, pid)
    try:
        yield
        journal.write("end", key, attempt, pid)
    except (Planned, JobTimeout, JobCancelled, asyncio.CancelledError):
        journal.write("raise", key, attempt, pid)
        raise


def quick(context: Context, key: int) -> None:
    with _noted(key, context.attempt):
        pass


def slow(context: Context, key: int, seconds: float) -> None:
    with _noted(key, context.attempt):
        time.sleep(seconds)


def flaky(context: Context, key: int, fails: int) -> None:
    """Raises in its first runs."""
    with _noted(key, context.attempt):
        if context.attempt <= fails:
            raise Planned(f"run {context.attempt} of {fails + 1}")


def doomed(context: Context, key: int) -> None:
    """Raises in every run."""
    with _noted(key, context.attempt):
        raise Planned("as every time")


def _logs() -> None:
    _log.info("still at it")
    time.sleep(0.001)


def _enqueues() -> None:
    with suppress(StoreError):
        nothing.enqueue()
    time.sleep(0.01)


def _locks() -> None:
    with _lock:
        _items.put(1)
        _items.get()
    time.sleep(0.0001)


def _forks() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    time.sleep(0.01)


def _awaits() -> None:
    asyncio.run(asyncio.sleep(60))


#: What a stuck job does again and again, by number.
STUCK_WAYS: tuple[Callable[[], None], ...] = (_logs, _enqueues, _locks, _forks, _awaits)


def stuck(context: Context, key: int, way: int) -> None:
    """Never ends in its first run, unless it is interrupted."""
    with _noted(key, context.attempt):
        while context.attempt == 1:
            STUCK_WAYS[way]()


def register(app: FastJobs) -> dict[tuple[str, str], Any]:
    """Registers the handlers with an app; returns the job types by (handler, queue)."""
    types: dict[tuple[str, str], Any] = {}
    for queue in QUEUES:
        for handler, options in (
            (quick, {}),
            (slow, {}),
            (flaky, {"retries": FLAKY_RETRIES, "retry_delay": 0.05}),
            (doomed, {"retries": DOOMED_RETRIES, "retry_delay": 0.05}),
            (stuck, {"retries": STUCK_RETRIES, "retry_delay": 0.05, "timeout": STUCK_TIMEOUT_S}),
        ):
            name = handler.__name__
            types[name, queue] = app.job(name=f"{name}-{queue}", queue=queue, **options)(handler)
    return types


app = FastJobs()
register(app)


@app.job(queue=QUEUES[0])
def nothing() -> None:
    """What stuck jobs enqueue; whether each one was stored is not judged, as its enqueue may be interrupted."""
