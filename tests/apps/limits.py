"""Jobs that run too long, wait too long, or are to be cancelled."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time

from fastjobs import Context, FastJobs, JobCancelled, JobTimeout
from tests.apps.notes import note, notes

app = FastJobs()


@app.job(timeout=0.2, retries=0)
def loops(name: str) -> None:
    note(name, "began")
    try:
        while True:
            pass
    except JobTimeout:
        note(name, "timed out")
        raise


@app.job(timeout=0.2, retries=1, retry_delay=0.1)
def loops_once(name: str) -> None:
    note(name, "began")
    if f"{name} timed out" in notes():
        return
    try:
        while True:
            time.sleep(0.01)
    finally:
        note(name, "timed out")


@app.job(timeout=0.2, retries=1, retry_delay=0)
def sleeps(name: str, for_s: float = 60.0) -> None:
    """Hangs in C, without the interpreter's lock."""
    note(name, "began")
    time.sleep(for_s)
    note(name, "ended")


@app.job(timeout=0.2, retries=0)
def hogs(name: str) -> None:
    """Hangs in C and keeps the interpreter's lock: nothing else in the process moves."""
    note(name, "began")
    ctypes.PyDLL(None).usleep(60_000_000)


@app.job(timeout=0.2, retries=0)
def survives(name: str) -> str:
    try:
        while True:
            pass
    except JobTimeout:
        note(name, "survived")
    return name


@app.job(timeout=0.2, retries=0, on_timeout="replace")
def loops_dirtily(name: str) -> None:
    note(name, "began in", os.getpid())
    while True:
        time.sleep(0.001)


@app.job(timeout=0.2, retries=0, on_timeout="kill")
def dies(name: str) -> None:
    note(name, "began")
    try:
        while True:
            time.sleep(0.001)
    finally:
        note(name, "cleans up")


@app.job
def where(name: str) -> None:
    note(name, "ran in", os.getpid())


@app.job
def short(name: str) -> None:
    note(name, "ran")


@app.job
def neighbour(name: str) -> None:
    """Is running whenever a process is replaced, and finishes once there is a go."""
    note(name, "began")
    while "go" not in notes():
        time.sleep(0.01)


@app.job(retries=3, retry_delay=0)
def patient(name: str) -> None:
    note(name, "began")
    try:
        while True:
            time.sleep(0.01)
    except JobCancelled:
        note(name, "cancelled")
        raise ValueError("clean-up failed") from None


@app.job(retries=0)
def checks(context: Context, name: str) -> None:
    """Waits for a cancellation in a thread of its own, which only `check` tells."""
    told = threading.Event()

    def watch() -> None:
        while True:
            try:
                context.check()
            except JobCancelled:
                note(name, "checked")
                told.set()
                return
            time.sleep(0.01)

    helper = threading.Thread(target=watch)
    helper.start()
    try:
        note(name, "began")
        told.wait(60)
    finally:
        # The handler itself may be hit just before it waits.
        helper.join()


@app.job(timeout=0.2, retries=0)
def checks_deadline(context: Context, name: str) -> None:
    assert context.deadline is not None and context.deadline_at is not None
    note(name, round(context.deadline - time.monotonic(), 1), round(context.deadline_at.timestamp() - time.time(), 1))
    swallowed = False
    while True:
        try:
            context.check()
            time.sleep(0.001)
        except JobTimeout:
            if swallowed:
                raise
            swallowed = True


@app.job(queue="other", name="named")
def tells(context: Context, name: str, *, fails: int = 0) -> None:
    note(name, context.job_id, context.type, context.queue, context.attempt, context.deadline, context.lease_lost)
    context.check()
    context.logger.warning("hello from the handler")
    if context.attempt <= fails:
        raise ValueError(name)


@app.job(retries=1, retry_delay=0)
def meets(context: Context, name: str, fates: list[str]) -> None:
    """Meets with one fate per run: raises, crashes, or ends well."""
    fate = fates[context.attempt - 1] if context.attempt <= len(fates) else "end"
    note(name, context.attempt, fate)
    if fate == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if fate == "raise":
        raise ValueError(name)


@app.job
def plain(name: str) -> None:
    note(name, "ran")
