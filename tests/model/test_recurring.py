"""Recurring jobs against their model: never twice, never stopped."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.harness.server import ServerProcess
from tests.model.clock import timed_scripts
from tests.model.recurring import RecurringMachine

pytestmark = pytest.mark.timeout(0)

#: Steps of one run, and runs.
STEPS = int(os.environ.get("FASTJOBS_TEST_MODEL_STEPS", "50"))
RUNS = int(os.environ.get("FASTJOBS_TEST_MODEL_RUNS", "100"))


@pytest.fixture(scope="module", autouse=True)
def _test_build(server: ServerProcess) -> Iterator[None]:
    RecurringMachine.server = server
    with timed_scripts():
        yield


TestRecurring = RecurringMachine.TestCase
TestRecurring.settings = settings(
    max_examples=RUNS,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
