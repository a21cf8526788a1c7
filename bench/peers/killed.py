"""Kills each peer's worker while it runs a job, starts another one, and checks whether it runs the job again.

`python -m bench.peers.killed` takes as long as the most patient peer, a quarter of an hour, and measures no speed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.peers.__main__ import choose, prepare
from bench.peers.measure import PeerFailed, Run
from bench.peers.report import PeerResult
from bench.report import aligned
from bench.rows import Setting
from bench.server import server_binary

#: Some peers look for jobs of dead workers only when a new job arrives.
_NEW_JOB_EVERY_S = 30.0
_JOB = "hung"


def again_after_s(run: Run, patience_s: float) -> float | None:
    """Returns seconds from the death of the worker to the second start of its job; None when there was none.

    Raises:
        PeerFailed: the worker does not run the job even once.
    """
    run.start()
    run.act("one", "hang", _JOB)
    run.wait(lambda: run.lines(_JOB), "the job has begun")
    # Some peers acknowledge a job a moment after they have begun it.
    time.sleep(1)
    run.kill()
    killed_s = time.monotonic()
    run.start()
    next_job_s = killed_s
    while time.monotonic() < killed_s + patience_s:
        begun = run.lines(_JOB)
        if len(begun) > 1:
            return int(begun[1]) / 1e9 - killed_s
        if time.monotonic() >= next_job_s:
            run.act("one", "mark", "new")
            next_job_s = time.monotonic() + _NEW_JOB_EVERY_S
        time.sleep(0.5)
    return None


def look(result: PeerResult, python: str, setting: Setting, patience_s: float) -> list[str]:
    """Returns a line of the table."""
    name = result.configuration.name
    with setting.server() as server, tempfile.TemporaryDirectory(prefix="fastjobs-peers-") as notes:
        run = Run(result.peer, name, python, server, Path(notes), counted=False)
        try:
            seconds = again_after_s(run, patience_s)
            outcome = f"not within {patience_s:g} s" if seconds is None else f"{seconds:.0f} s"
        except PeerFailed as error:
            outcome = f"FAILED: {error}"
        finally:
            run.kill()
    print(result.peer, name, outcome, file=sys.stderr, flush=True)
    return [result.peer, name, outcome, result.configuration.survives]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers.killed", description=__doc__)
    parser.add_argument("--peers", help="names separated by commas [default: all]")
    parser.add_argument("--patience", type=float, default=720, metavar="S", help="seconds to wait [default: 720]")
    parser.add_argument("--server", default="valkey", help="valkey (the embedded one), redis (on PATH) or a path")
    options = parser.parse_args()
    results, pythons = prepare(choose(options.peers))
    setting = Setting(server_binary(options.server), quick=False)
    with ThreadPoolExecutor(len(results)) as pool:
        looks = [
            pool.submit(look, result, pythons[result.peer], setting, options.patience)
            for result in results
            if not result.failed
        ]
        lines = [done.result() for done in looks]
    print(aligned([["queue", "configuration", "run again after", "what the table says"], *lines]))


if __name__ == "__main__":
    main()
