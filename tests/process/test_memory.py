"""Memory comes back: a short form of `make leaks`, in a fresh interpreter, and the proof that it would find a leak."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def leaks(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.memory.leaks", "--jobs", "200000", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)


def test_jobs_that_ran_leave_no_memory_behind() -> None:
    found = leaks()
    assert found.returncode == 0, found.stdout + found.stderr
    assert "180,000 jobs after the warm-up" in found.stdout


def test_a_handler_that_keeps_every_tenth_job_is_found() -> None:
    found = leaks("--leak")
    assert (found.returncode, found.stderr) == (1, "memory does not come back\n"), found.stdout
