"""Handlers that are interrupted where it hurts: while they log, hold locks, wait for coroutines or programs."""

from __future__ import annotations

import logging
import time

from fastjobs import FastJobs
from tests.apps.notes import note, notes

app = FastJobs()
log = logging.getLogger("fastjobs.jobs")


@app.job
def short(name: str) -> None:
    note(name, "ran")


@app.job(retries=0)
def holds_the_log(name: str) -> None:
    """Keeps the lock of the logging handler until there is a go, as one that hangs does."""
    handler = logging.getLogger("fastjobs").handlers[0]
    with handler.lock:
        note(name, "began")
        while "go" not in notes():
            time.sleep(0.01)


@app.job(timeout=0.2, retries=0)
def waits(name: str) -> None:
    note(name, "began")
    while True:
        time.sleep(0.001)
