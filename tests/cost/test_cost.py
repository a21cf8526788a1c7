"""No script costs more because a queue has more: of anything."""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Iterator

import pytest

from fastjobs.model.status import Status
from fastjobs.operating.listing import Listing
from tests.cost.crowd import fill
from tests.cost.measure import costs
from tests.harness.queue import QueueUnderTest
from tests.harness.server import ServerProcess

_FEW = 1000
#: Jobs in each status of the larger queue.
_MANY = int(os.environ.get("FASTJOBS_TEST_COST_ENTRIES", "10000"))
#: A script finds a place in line by halving, at most so often.
_SEARCHES = 4


def test_a_script_runs_as_many_commands_in_a_queue_of_many_jobs_as_in_one_of_few() -> None:
    with ServerProcess() as server:
        few, many = costs(server, _FEW), costs(server, _MANY)
    halvings = math.ceil(math.log2(_MANY / _FEW)) + 1
    grown = {
        name: (few[name].commands, cost.commands)
        for name, cost in many.items()
        if cost.commands > few[name].commands + _SEARCHES * halvings
    }
    assert not grown


@pytest.fixture(scope="module")
def crowded() -> Iterator[QueueUnderTest]:
    """A queue with many jobs in each status, on a server of its own: other tests need a small one."""
    with ServerProcess() as server:
        queue = QueueUnderTest(server.url, uuid.uuid4().hex[:12])
        fill(queue, 5_000)
        yield queue
        queue.close()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("status", list(Status))
def test_a_page_of_a_listing_takes_a_few_calls_among_many_jobs(
    crowded: QueueUnderTest, status: Status, reverse: bool
) -> None:
    """Scheduled and retrying jobs share a sorted set: those of one status all stand behind those of the other."""
    crowded.raw.config_resetstat()
    jobs, cursor = Listing(crowded.store, crowded.name, status, reverse=reverse).page(None, 20)
    assert len(jobs) == 20
    assert cursor is not None
    stats = crowded.raw.info("commandstats")
    calls = sum(value["calls"] for name, value in stats.items() if name.startswith("cmdstat_"))
    assert calls < 300, stats
