"""The measured app; the server's URL comes from FASTJOBS_URL."""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path

from bench.notes import VARIABLE, Notes
from fastjobs import FastJobs

app = FastJobs()


@app.job
def welcome(user_id: int, *, email: str, template: str) -> None:
    """The reference job, which does nothing."""


@app.job
def pause(duration_ms: float) -> None:
    """Sleeps."""
    time.sleep(duration_ms / 1000)


@app.job
def burn(rounds: int) -> None:
    """Keeps a processor and the interpreter busy; `bench.bare.burn` is the same without a queue."""
    for _ in range(rounds):
        pass


@app.job(retries=0)
def fail(index: int) -> None:
    """Raises."""
    raise ValueError(f"no user {index}")


@app.job
def noted(index: int, duration_ms: float = 0) -> None:
    """Notes when it runs, and sleeps for `duration_ms`."""
    started_ns = time.monotonic_ns()
    if duration_ms:
        time.sleep(duration_ms / 1000)
    _notes().write(index, started_ns)


@cache
def _notes() -> Notes:
    return Notes(Path(os.environ[VARIABLE]))
