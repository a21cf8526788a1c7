"""The app whose recurring jobs the tests run: its handlers note their runs in a file."""

from __future__ import annotations

import os
import time
from pathlib import Path

from fastjobs import FastJobs

app = FastJobs()


def _note(path: str) -> None:
    # One write in append mode: lines of several processes do not mix.
    with Path(path).open("a") as notes:
        notes.write(f"{os.getpid()}\n")


@app.job(retries=0)
def tick(path: str) -> None:
    _note(path)


@app.job(retries=1, retry_delay=0.01)
def fail(path: str) -> None:
    _note(path)
    raise ValueError("as always")


@app.job
def hang_once(path: str) -> None:
    """Hangs in its first run, and runs through in all others."""
    first = not Path(path).exists()
    _note(path)
    if first:
        time.sleep(600)
