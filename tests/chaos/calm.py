"""With the nemesis off: millions of jobs at full speed, each of which has to run exactly once."""

from __future__ import annotations

import os
import shutil
import struct
import time
from pathlib import Path

from tests.chaos.world import make_directory
from tests.harness.server import ServerProcess
from tests.harness.worker import Lab

_DEADLINE_S_PER_JOB = 1 / 2000


def count_runs(path: Path, jobs: int) -> tuple[int, int, int]:
    """Counts the numbers in a ledger; returns how many of 0 .. jobs-1 are missing, run too often, and foreign."""
    seen = bytearray(jobs)
    again = foreign = 0
    with path.open("rb") as file:
        while portion := file.read(1 << 20):
            for (number,) in struct.iter_unpack("<I", portion):
                if number >= jobs:
                    foreign += 1
                elif seen[number]:
                    again += 1
                else:
                    seen[number] = 1
    return seen.count(0), again, foreign


def run_calm(jobs: int) -> int:
    """Enqueues and executes at the same time; returns 0 when each job ran exactly once."""
    directory = make_directory()
    with ServerProcess() as server:
        lab = Lab(server, "calm", directory, 30_000)
        try:
            worker = lab.worker("-p", str(os.cpu_count() or 1)).wait_ready()
            began = time.monotonic()
            lab.jobs.number.enqueue_many(range(jobs))
            enqueued_s = time.monotonic() - began
            lab.wait(lambda: lab.field("finished_total") == jobs, "all have finished", 60 + jobs * _DEADLINE_S_PER_JOB)
            took_s = time.monotonic() - began
            code = worker.stop()
            clean = "Traceback" not in worker.log and lab.holds_nothing()
        finally:
            lab.close()
    missing, again, foreign = count_runs(directory / "ledger.numbers", jobs)
    print(f"{jobs} jobs enqueued in {enqueued_s:.1f} s, all executed after {took_s:.1f} s")
    print(f"missing {missing}, too many {again}, foreign {foreign}, the worker ended with {code}")
    shutil.rmtree(directory)
    return 0 if clean and (missing, again, foreign, code) == (0, 0, 0, 0) else 1
