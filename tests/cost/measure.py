"""Measures what one call of each script costs the server: commands that it runs, and microseconds that it takes."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import NamedTuple

from fastjobs.store.scripts import names
from tests.cost.crowd import fill
from tests.harness.calls import one_call_of_each
from tests.harness.queue import QueueUnderTest
from tests.harness.server import ServerProcess

#: More than any queue here has: nothing is trimmed because of its number.
_KEEP = 10**9


class Cost(NamedTuple):
    """What one call cost."""

    #: Commands, also those that the script calls.
    commands: int
    #: Time on the server's main thread; it includes what other programs took of the processor meanwhile.
    microseconds: int


def costs(server: ServerProcess, number: int) -> dict[str, Cost]:
    """Returns script -> cost of a call, in a queue with `number` jobs in each status.

    One command that reads much counts as one: tests/unit/test_scripts.py says which commands read whole keys.
    """
    queue = QueueUnderTest(server.url, uuid.uuid4().hex[:12], finished_keep=_KEEP, failed_keep=_KEEP)
    calls = one_call_of_each(queue)
    calls |= {
        "find": lambda: queue.find("chunk", 1),
        "page": lambda: queue.store.batch().page(queue.name, "ready", ("9", "~"), 50).run(),
        "survey": lambda: queue.store.batch().survey_page(queue.name, "jobs", b"0", 100).run(),
    }
    assert set(calls) == set(names()), "each script is measured"
    fill(queue, number)
    try:
        # Once before: the connection sends the scripts.
        queue.find("nobody")
        return {name: _cost(queue, call) for name, call in calls.items()}
    finally:
        queue.close()


def _cost(queue: QueueUnderTest, call: Callable[[], object]) -> Cost:
    queue.raw.config_resetstat()
    call()
    stats = queue.raw.info("commandstats")
    ran = {name.removeprefix("cmdstat_"): value for name, value in stats.items()}
    evalsha = ran.pop("evalsha", {"usec": 0})
    others = ("info", "config")
    commands = sum(value["calls"] for name, value in ran.items() if not name.startswith(others))
    return Cost(commands, evalsha["usec"])
