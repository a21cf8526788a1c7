"""Counts processor instructions per job with callgrind: the same in every run, whatever else the machine does.

Each count is the difference between a long and a short run, so it does not contain the start of the interpreter. Counts
change with the releases of Python and orjson; their ratios to the partners' counts hardly do.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from bench.worker import ROOT

#: The counted function and its partner, both in `bench.driver`.
PARTNERS = {"encode": "dump", "execute": "call"}
_SHORT, _LONG = 2_000, 12_000
_TOTAL = re.compile(r"Collected : (\d+)")


def missing() -> str:
    """Returns why nothing can be counted here, or "" if it can."""
    return "" if shutil.which("valgrind") else "valgrind is not installed (apt-get install valgrind)"


def per_job(counted: str) -> float:
    """Returns instructions per job.

    Raises:
        subprocess.CalledProcessError: the driver failed under valgrind.
    """
    # First run it without valgrind: the first run after a change also compiles the imported Python files.
    subprocess.run(_driver(counted, _SHORT), env=_environment(), check=True)
    return (_total(counted, _LONG) - _total(counted, _SHORT)) / (_LONG - _SHORT)


def _driver(counted: str, jobs: int) -> list[str]:
    return [sys.executable, "-S", str(Path(__file__).with_name("driver.py")), counted, str(jobs)]


def _environment() -> dict[str, str]:
    """The driver needs the packages of this interpreter but none of its start-up files; hashes must not vary."""
    return {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0", "PYTHONPATH": ":".join([str(ROOT), *sys.path[1:]])}


def _total(counted: str, jobs: int) -> int:
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *_driver(counted, jobs)]
    done = subprocess.run(command, env=_environment(), check=True, capture_output=True, text=True)
    match = _TOTAL.search(done.stderr)
    if match is None:
        raise RuntimeError(f"valgrind printed no total: {done.stderr[-500:]}")
    return int(match[1])


def main() -> int:
    """Prints the counts; returns the exit code."""
    if missing():
        print(missing())
        return 0
    for counted, partner in PARTNERS.items():
        own, other = per_job(counted), per_job(partner)
        print(f"{counted:<8} {own:8.1f} instructions per job, {partner} {other:8.1f}: {own / other:.3f} x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
