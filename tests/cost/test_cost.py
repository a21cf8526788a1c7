"""No script costs more because a queue has more: of anything."""

from __future__ import annotations

import math
import os

from tests.cost.measure import costs
from tests.harness.server import ServerProcess

_FEW = 1000
#: Jobs in each status of the larger queue.
_MANY = int(os.environ.get("FASTJOBS_COST_ENTRIES", "50000"))
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
