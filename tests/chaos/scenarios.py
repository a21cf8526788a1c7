"""Short runs with one exactly placed fault each, for the tests of the checker: `python -m tests.chaos.scenarios NAME`.

Ends with 0 when the verdict is good and with 1 when it is not, after telling what is wrong.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable

from tests.chaos.chaos import gather
from tests.chaos.producers import Producers
from tests.chaos.topologies.single import ProxyLine
from tests.chaos.verdict import judge
from tests.chaos.world import ChaosWorker, Hurt, World, group_of, make_directory
from tests.harness.waiting import wait_until

#: Seconds for everything that was enqueued to be done, once nothing is harmed any more.
_DRAIN_S = 8.0
_PATIENCE_S = 30.0
_QUEUE = "alpha"


def _started(world: World, key: int) -> int:
    """How often the job was started."""
    return len(world.journal.read().runs[key])


def _wait_started(world: World, key: int, times: int) -> None:
    wait_until(lambda: _started(world, key) >= times, _PATIENCE_S, f"job {key} was started {times} times")


def _ready_worker(world: World) -> ChaosWorker:
    worker = world.start_worker()
    worker.worker.wait_ready(world.processes)
    return worker


def _now_hurt(what: str, pids: frozenset[int], *, deadly: bool = False) -> Hurt:
    now_ns = time.monotonic_ns()
    return Hurt(what, now_ns, now_ns, pids, deadly)


def zombie(world: World, producers: Producers) -> None:
    """A worker is frozen in the middle of a job until another has run that, and goes on then."""
    first = _ready_worker(world)
    call = producers.enqueue("slow", _QUEUE, 2, 0.4)
    for key in call.keys:
        _wait_started(world, key, 1)
    pids = group_of(first)
    hurt = world.note(_now_hurt("freeze a whole worker", pids))
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    _ready_worker(world)
    for key in call.keys:
        _wait_started(world, key, 2)
    wait_until(world.drained, _PATIENCE_S, "the other worker has run the jobs")
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    hurt.ended_ns = time.monotonic_ns()
    # Its own processes are fenced, and followed by new ones.
    first.worker.wait_ready(2 * world.processes)


def orphans(world: World, producers: Producers) -> None:
    """A worker is killed as a whole in the middle of jobs, beside another."""
    first = _ready_worker(world)
    call = producers.enqueue("slow", _QUEUE, 2, 0.4)
    for key in call.keys:
        _wait_started(world, key, 1)
    pids = group_of(first)
    first.worker.signal_group(signal.SIGKILL)
    world.note(_now_hurt("kill a whole worker", pids, deadly=True))
    _ready_worker(world)


def lost_reply(world: World, producers: Producers) -> None:
    """The reply to an enqueue is lost, and the producer sends it again."""
    _ready_worker(world)
    # So that the connection is there: what is swallowed is the reply to the enqueue, not to the connecting.
    producers.enqueue("quick", _QUEUE)
    line = world.producers_line
    assert isinstance(line, ProxyLine)
    line.proxy.swallow_one_reply()
    producers.enqueue("quick", _QUEUE, 20)
    assert line.proxy.harmed == 1


SCENARIOS: dict[str, Callable[[World, Producers], None]] = {
    "zombie": zombie,
    "orphans": orphans,
    "lost-reply": lost_reply,
}


def main() -> int:
    directory = make_directory()
    with World(directory, lease_ms=1000, processes=1) as world:
        producers = Producers(world.apps, world.journal, world.waiting, 0)
        SCENARIOS[sys.argv[1]](world, producers)
        verdict = judge(gather(world, producers, _DRAIN_S))
    shutil.rmtree(directory)
    for problem in verdict.problems:
        print(f"PROBLEM: {problem}")
    print(f"{verdict.executed} executed, {verdict.duplicates} too many, up to {verdict.bound} explained")
    return 1 if verdict.problems else 0


if __name__ == "__main__":
    sys.exit(main())
