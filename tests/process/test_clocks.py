"""A worker on a machine whose clock is wrong."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.harness.faults import made_lab

WRONG_CLOCK = """
import time
right, right_ns = time.time, time.time_ns
time.time = lambda: right() + {seconds}
time.time_ns = lambda: right_ns() + {seconds} * 10**9
"""


@pytest.mark.parametrize("seconds", [86_400, -86_400])
def test_a_worker_whose_clock_is_a_day_off_keeps_leases_and_delays(namespace, tmp_path, seconds):
    """Fault B27."""
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    (wrong / "sitecustomize.py").write_text(WRONG_CLOCK.format(seconds=seconds))
    root = Path(__file__).parents[2]
    with made_lab(namespace, tmp_path, lease_ms=600) as lab:
        lab.jobs.hold.enqueue("held", str(lab.gate()))
        worker = lab.worker("-c", "2", env={"PYTHONPATH": f"{wrong}:{root}"}).wait_ready()
        lab.wait_started("held")
        other = lab.worker().wait_ready()
        lab.jobs.fail_list.enqueue("retried", 2)
        lab.jobs.note.options(delay=0.3).enqueue("delayed")
        lab.jobs.note.options(delay=3600).enqueue("far")
        lab.wait_ended("retried", "delayed")
        # Time itself is what this waits for: the lease.
        time.sleep(2 * lab.lease_ms / 1000)
        lab.gate().touch()
        lab.wait(lambda: lab.counts() == {"finished": 3, "scheduled": 1}, "all but the last have run")
        assert lab.ledger.counts("START") == {"held": 1, "retried": 3, "delayed": 1}
        assert (worker.stop(), other.stop()) == (0, 0)
        assert "lease lost" not in worker.log
