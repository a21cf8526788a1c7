"""Idle workers by the thousand, as their server sees them: `python -m bench.idlers NUMBER`, server in FASTJOBS_URL.

Each is a worker of one process. It has the connections of a process and of its supervisor, and does on them what both
do while idle, with the parts that real workers are made of. It acknowledges fetched jobs at once. The program prints
`ready` when all are connected. At the end of its input it prints as JSON how long jobs took to reach it (ms), and ends.
"""

from __future__ import annotations

import heapq
import json
import os
import random
import select
import sys
import time
from collections.abc import Callable
from itertools import count

import orjson

from bench.server import QUEUE
from fastjobs._core import Chunk, new_id
from fastjobs.config import Config
from fastjobs.model.outcome import Run
from fastjobs.server.endpoint import Endpoint
from fastjobs.store.replies import Lease
from fastjobs.store.store import Store
from fastjobs.worker.process.waker import WAIT_S, Fetch, Wakers
from fastjobs.worker.supervisor.reclaimer import Reclaimer
from fastjobs.worker.supervisor.recurrer import Recurrer

#: Number of jobs that a working process fetches while it does not know their cost.
_WANT = 38


class IdleProcess:
    """The process of a worker, with nothing to run."""

    def __init__(self, endpoint: Endpoint, config: Config, delays_ms: list[float]) -> None:
        self.session = new_id()
        self._store = Store(endpoint.connect(), config)
        self._delays_ms = delays_ms
        self._request = 0
        self._wakers = Wakers(endpoint, self._store, self.session)
        self._store.batch().used_partitions().run()
        self._store.batch().open(QUEUE, self.session).run()
        self._wakers.add_partitions([QUEUE])

    def wait(self) -> int:
        """Begins to wait for a hint; returns the descriptor that becomes readable."""
        self._wakers.arm(WAIT_S, [self._next_fetch()], [])
        (descriptor,) = self._wakers.filenos()
        return descriptor

    def take(self) -> bool:
        """Reads the reply that ended a wait and runs the job; returns False while the wait goes on."""
        woken = self._wakers.take()
        if woken is None:
            return False
        if not woken.leases:
            raise RuntimeError("the server has closed a connection")
        (lease,) = woken.leases
        while lease.spans:
            lease = self._run(lease)
        return True

    def audit(self) -> None:
        """Reports the leases it knows: none before the awaited fetch."""
        self._store.batch().audit(QUEUE, self.session, self._request - 1, []).run()

    def _run(self, lease: Lease) -> Lease:
        """Acknowledges a lease and fetches the next one, in one write."""
        now_ns = time.monotonic_ns()
        runs = []
        for span in lease.spans:
            chunk = Chunk.decode(span.payload or b"")
            self._delays_ms += [(now_ns - orjson.loads(chunk.payload(at))[0]) / 1e6 for at in range(chunk.n)]
            runs.append(Run(span.ref, chunk.n, 0, chunk.n, b"", b"", 0))
        batch = self._store.batch()
        batch.ack(QUEUE, self.session, lease.fence, runs)
        fetch = self._next_fetch()
        return batch.fetch(QUEUE, self.session, fetch.request, fetch.want).run()

    def _next_fetch(self) -> Fetch:
        self._request += 1
        return Fetch(QUEUE, self._request, _WANT)


class IdleSupervisor:
    """The supervisor of a worker whose only process is idle."""

    def __init__(self, endpoint: Endpoint, config: Config, session: str) -> None:
        self._store = Store(endpoint.connect(), config)
        self._session = session
        self._id = new_id()
        self.reclaimer = Reclaimer(self._store, [QUEUE])
        self.recurrer = Recurrer(self._store, [QUEUE])

    def beat(self) -> None:
        """Renews the session and the worker's entry, and looks for orders and partitions."""
        batch = self._store.batch()
        renewed = batch.renew(QUEUE, [self._session])
        batch.describe_worker(self._id, orjson.dumps(self._entry()))
        batch.order_for(self._id)
        batch.used_partitions()
        batch.run()
        if not renewed.value.alive[0]:
            raise RuntimeError("a lease was lost: there are more idle workers than this machine can play")

    def _entry(self) -> dict[str, object]:
        """Returns an entry as long as that of a real worker."""
        now_ms = time.time_ns() // 1_000_000
        return {
            "worker": "idle-machine:100000",
            "processes": 1,
            "threads": 1,
            "queues": [QUEUE],
            "types": ["burn", "fail", "noted", "pause", "welcome"],
            "pids": [100000],
            "executed": 0,
            "running": [],
            "quiet": False,
            "started_ms": now_ms,
            "beat_ms": now_ms,
            "forgotten_ms": self._store.config.lease_ms * 10,
        }


class Idlers:
    """Idle workers whose turns are spread in time like those of real ones.

    Args:
        config: names the server.
        number: number of workers.
    """

    def __init__(self, config: Config, number: int) -> None:
        self._config = config
        #: How long each job took from `enqueue` to the process that received it.
        self.delays_ms: list[float] = []
        self._poll = select.epoll()
        self._waiting: dict[int, IdleProcess] = {}
        #: The turns to come: when, a number to settle ties, the action, and a function for the time of the next turn.
        self._plan: list[tuple[float, int, Callable[[], object], Callable[[], float]]] = []
        self._order = count()
        endpoint = Endpoint(config)
        for _ in range(number):
            self._add(endpoint)
            self._turn(0.0)

    def run_until_end_of_input(self) -> None:
        """Plays the workers until the input ends."""
        self._poll.register(sys.stdin, select.EPOLLIN | select.EPOLLHUP)
        while self._turn(max(0.0, self._plan[0][0] - time.monotonic())):
            pass

    def _add(self, endpoint: Endpoint) -> None:
        process = IdleProcess(endpoint, self._config, self.delays_ms)
        supervisor = IdleSupervisor(endpoint, self._config, process.session)
        supervisor.beat()
        beat_s, lease_s = self._config.beat_ms / 1000, self._config.lease_ms / 1000
        self._repeat(random.uniform(0, beat_s), supervisor.beat, lambda: beat_s)
        self._repeat(random.uniform(0, lease_s), process.audit, lambda: lease_s)
        self._repeat(random.uniform(0, 1), supervisor.recurrer.run, _until(supervisor.recurrer))
        self._repeat(_until(supervisor.reclaimer)(), supervisor.reclaimer.run, _until(supervisor.reclaimer))
        descriptor = process.wait()
        self._waiting[descriptor] = process
        self._poll.register(descriptor, select.EPOLLIN)

    def _repeat(self, in_s: float, act: Callable[[], object], again_in_s: Callable[[], float]) -> None:
        heapq.heappush(self._plan, (time.monotonic() + in_s, next(self._order), act, again_in_s))

    def _turn(self, timeout_s: float) -> bool:
        """Runs due turns and reads replies; returns False at the end of the input."""
        while self._plan and self._plan[0][0] <= time.monotonic():
            _, _, act, again_in_s = heapq.heappop(self._plan)
            act()
            self._repeat(again_in_s(), act, again_in_s)
        for descriptor, _ in self._poll.poll(timeout_s):
            if descriptor not in self._waiting:
                return False
            if self._waiting[descriptor].take():
                self._waiting[descriptor].wait()
        return True


def _until(planned: Reclaimer | Recurrer) -> Callable[[], float]:
    """Returns a function that tells after how many seconds the next turn is due."""
    return lambda: planned.due_at - time.monotonic()


def main() -> None:
    """The command."""
    idlers = Idlers(Config(url=os.environ["FASTJOBS_URL"]), int(sys.argv[1]))
    print("ready", flush=True)
    idlers.run_until_end_of_input()
    print(json.dumps(idlers.delays_ms), flush=True)


if __name__ == "__main__":
    main()
