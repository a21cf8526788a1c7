"""Measures the cost of each choice of `on_timeout`, and what it breaks: `python -m bench.interruptions`.

One job in fifty runs into its timeout of 50 ms while it pings a server through a pool of redis-py, as do the others a
few times. Printed are the time and the processor time of the worker for all jobs, how often jobs started more than once
without having timed out, how many processes ran jobs, and what is missing in the pools of those that lived on: locks
that stay locked, connections that are never given back.

The module is the measured app as well.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import redis

from bench.server import BenchServer, server_binary, wait_until
from bench.worker import ROOT
from fastjobs import Context, FastJobs

_VARIABLE = "BENCH_ON_TIMEOUT"
_NOTES = "BENCH_NOTES"
_JOBS = 5_000
_EVERY = 50
_CHOICES = ("cooperative", "replace", "kill")

app = FastJobs()
_choice: Any = os.environ.get(_VARIABLE, "cooperative")
_pool = redis.ConnectionPool.from_url(os.environ.get("FASTJOBS_URL", "redis://localhost"))


def _note(*words: object) -> None:
    with Path(os.environ[_NOTES]).open("a") as notes:
        notes.write(" ".join(map(str, words)) + "\n")


@app.job
def ping(context: Context) -> None:
    """Takes about 5 ms."""
    _note("start", context.job_id, os.getpid())
    until = time.monotonic() + 0.005
    client = redis.Redis(connection_pool=_pool)
    while time.monotonic() < until:
        client.ping()


@app.job(timeout=0.05, retries=0, on_timeout=_choice)
def ping_for_ever() -> None:
    """Is always interrupted."""
    client = redis.Redis(connection_pool=_pool)
    while True:
        client.ping()


@app.on_worker_stop
def survey(_worker: str) -> None:
    """Notes what is missing once nothing runs any more."""
    locked = not _pool._lock.acquire(blocking=False)
    _note("end", os.getpid(), len(_pool._in_use_connections), int(locked))


def _measure(server: BenchServer, choice: str, notes: Path) -> str:
    environment = os.environ | server.environment | {_VARIABLE: choice, _NOTES: str(notes), "PYTHONPATH": str(ROOT)}
    client = FastJobs(server.url)
    mine = {name: client.job(function, name=name) for name, function in _plain().items()}
    for number in range(_JOBS):
        mine["ping_for_ever" if number % _EVERY == 0 else "ping"].enqueue()
    client.close()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    subprocess.run(
        ["fastjobs-worker", "bench.interruptions:app", "-p", "2", "-c", "4", "--burst"],
        env=environment,
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    took_s = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    words = [line.split() for line in notes.read_text().splitlines()]
    starts = [line[1] for line in words if line[0] == "start"]
    ends = [line for line in words if line[0] == "end"]
    processes = {line[-1] for line in words if line[0] == "start"}
    lost, locked = (sum(int(line[column]) for line in ends) for column in (2, 3))
    again = len(starts) - len(set(starts))
    return f"{took_s:8.1f} {cpu_s:8.1f} {len(processes):10} {again:14} {lost:12} {locked:7}"


def _plain() -> dict[str, Any]:
    """Functions to enqueue by; the worker has the real ones."""

    def ping() -> None: ...

    def ping_for_ever() -> None: ...

    return {"ping": ping, "ping_for_ever": ping_for_ever}


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="valkey")
    binary = server_binary(parser.parse_args().server)
    print(f"{_JOBS} jobs, {_JOBS // _EVERY} of them interrupted")
    print(f"{'on_timeout':12} {'seconds':>8} {'cpu_s':>8} {'processes':>10} {'again':>14} {'lost':>12} {'locked':>7}")
    for choice in _CHOICES:
        with BenchServer(binary) as server, tempfile.TemporaryDirectory() as directory:
            wait_until(server.client.ping, 10, "the server answers")
            print(f"{choice:12} {_measure(server, choice, Path(directory, 'notes'))}", flush=True)


if __name__ == "__main__":
    main()
