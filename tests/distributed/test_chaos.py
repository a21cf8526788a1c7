"""A short chaos run on each topology: the faults of its servers, beside those of workers and connections."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.chaos.topologies import TOPOLOGIES
from tests.harness.worker import ROOT, clean_environment

#: Of faults; then everything has to come to rest, be drained and judged.
_MINUTES = "0.5"


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_a_short_chaos_ends_well(topology: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--topology", topology, "--minutes", _MINUTES, "--seed", "3"],
        env=clean_environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
