"""The app of the chaos run: the same few handlers on several queues; each writes when it starts and how it ends."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from fastjobs import Context, FastJobs
from tests.chaos.journal import JOURNAL_VARIABLE, Journal

QUEUES = ("alpha", "beta", "gamma")
#: Further runs of a job that raises on purpose, and of one that always does.
FLAKY_RETRIES = 5
DOOMED_RETRIES = 1


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
    except Planned:
        journal.write("raise", key, attempt, pid)
        raise
    journal.write("end", key, attempt, pid)


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


def register(app: FastJobs) -> dict[tuple[str, str], Any]:
    """Registers the handlers with an app; returns the job types by (handler, queue)."""
    types: dict[tuple[str, str], Any] = {}
    for queue in QUEUES:
        for handler, options in (
            (quick, {}),
            (slow, {}),
            (flaky, {"retries": FLAKY_RETRIES, "retry_delay": 0.05}),
            (doomed, {"retries": DOOMED_RETRIES, "retry_delay": 0.05}),
        ):
            name = handler.__name__
            types[name, queue] = app.job(name=f"{name}-{queue}", queue=queue, **options)(handler)
    return types


app = FastJobs()
register(app)
