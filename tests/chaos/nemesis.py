"""The nemesis: one fault after the other, several at a time, until it is told to stop; then all is healed."""

from __future__ import annotations

import heapq
import itertools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import redis

from tests.chaos.topologies.base import PASSED, Fault, NoServer, Server, Trouble, span_s
from tests.chaos.world import ChaosWorker, Hurt, World, group_of

#: Seconds between two faults.
INTERVAL_S = (0.5, 3.0)
#: A worker that is replaced is so after this long, as a service manager would do it.
_REPLACE_S = 0.5
_WORKERS = 2
#: How often servers are looked at until they are as they should be again, and for how long, in seconds.
_LOOK_S = 0.25
_SETTLING_S = 60.0
#: What the servers are called while they are harmed: one of their faults at a time.
_SERVERS = "servers"
#: What servers can do by themselves on a machine that is busy enough.
_UNASKED = "a failover that nobody asked for"

#: What heals a fault.
Heal = Callable[[], None]


class Nemesis:
    """Does harm to a world.

    Args:
        world: whom to harm.
        seed: decides what is done; when exactly it hits, nobody can decide.
    """

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._draw = random.Random(seed)
        self._order = itertools.count()
        #: What will heal, and when.
        self._healing: list[tuple[float, int, Heal]] = []
        #: Targets that are being harmed: one fault at a time for each.
        self._busy: set[object] = set()
        #: Who had each partition, and when that was seen; None = not since the servers were harmed.
        self._owners: tuple[list[Server], int] | None = None
        self.done: Counter[str] = Counter()
        self._faults: list[tuple[int, Callable[[], None]]] = [
            (5, self._kill_child),
            (3, self._stop_child),
            (2, self._kill_supervisor),
            (2, self._stop_supervisor),
            (2, self._kill_group),
            (2, self._stop_group),
            (2, self._deploy),
            (6, self._harm_worker_line),
            (6, self._harm_producers_line),
            *((fault.weight, partial(self._harm_servers, fault)) for fault in world.topology.faults()),
        ]

    def run(self, seconds: float) -> None:
        """Harms for a time, heals everything, and leaves as many workers as there were."""
        until = time.monotonic() + seconds
        self._look_at_owners()
        while time.monotonic() < until:
            self._wait(min(until, time.monotonic() + self._draw.uniform(*INTERVAL_S)))
            self._look_at_owners()
            if time.monotonic() < until:
                weights, faults = zip(*self._faults, strict=True)
                self._draw.choices(faults, weights)[0]()
            self._keep_up_workers()
        self.heal()

    def heal(self) -> None:
        """Heals everything, and waits until the servers are as they should be."""
        self._look_at_owners()
        while self._healing:
            self._heal_next()
            if _SERVERS in self._busy:
                time.sleep(_LOOK_S)
            if not self._healing:
                self._look_at_owners()
        self._keep_up_workers()

    def _wait(self, until: float) -> None:
        while self._healing and self._healing[0][0] <= until:
            time.sleep(max(0.0, self._healing[0][0] - time.monotonic()))
            self._heal_next()
        time.sleep(max(0.0, until - time.monotonic()))

    def _heal_next(self) -> None:
        _, _, heal = heapq.heappop(self._healing)
        heal()

    def _keep_up_workers(self) -> None:
        living = self._world.living_workers()
        for _ in range(_WORKERS - len(living)):
            self._world.start_worker()

    def _begin(self, hurt: Hurt, target: object, seconds: float, heal: Heal) -> None:
        """Notes a fault that has begun, to be healed after some seconds."""
        self.done[hurt.what] += 1
        self._world.note(hurt)
        self._busy.add(target)

        def healed() -> None:
            heal()
            hurt.ended_ns = time.monotonic_ns()
            self._busy.discard(target)

        self._later(seconds, healed)

    def _later(self, seconds: float, heal: Heal) -> None:
        heapq.heappush(self._healing, (time.monotonic() + seconds, next(self._order), heal))

    def _hurt(
        self, what: str, pids: frozenset[int] = frozenset(), *, deadly: bool = False, settled: bool = False
    ) -> Hurt:
        now_ns = time.monotonic_ns()
        return Hurt(what, now_ns, now_ns, pids, deadly, settled)

    def _victim(self) -> ChaosWorker | None:
        """A living worker that is ready and not being harmed."""
        free = [
            worker
            for worker in self._world.living_workers()
            if id(worker) not in self._busy and "process ready" in worker.worker.log
        ]
        return self._draw.choice(free) if free else None

    # Processes.

    def _kill_child(self) -> None:
        worker = self._victim()
        children = worker.worker.children() if worker else []
        if worker is None or not children:
            return
        pid = self._draw.choice(children)
        worker.processes()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.done["kill a process"] += 1
            self._world.note(self._hurt("kill a process", frozenset([pid]), deadly=True, settled=True))

    def _stop_child(self) -> None:
        worker = self._victim()
        children = worker.worker.children() if worker else []
        if worker is None or not children:
            return
        pid = self._draw.choice(children)
        # Its supervisor renews for it: however long it stands still, it loses nothing.
        self._freeze("freeze a process", worker, frozenset([pid]), harmless=True)

    def _stop_supervisor(self) -> None:
        worker = self._victim()
        if worker is not None:
            self._freeze("freeze a supervisor", worker, frozenset([worker.worker.pid]), harmless=True)

    def _stop_group(self) -> None:
        worker = self._victim()
        if worker is not None:
            self._freeze("freeze a whole worker", worker, group_of(worker))

    def _freeze(self, what: str, worker: ChaosWorker, pids: frozenset[int], *, harmless: bool = False) -> None:
        hurt = self._hurt(what, frozenset() if harmless else pids)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

        def thaw() -> None:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

        self._begin(hurt, id(worker), span_s(self._draw, self._world.lease_ms), thaw)

    def _kill_supervisor(self) -> None:
        worker = self._victim()
        if worker is None:
            return
        hurt = self._hurt("kill a supervisor", group_of(worker))
        hurt.ending = True
        worker.worker.signal(signal.SIGKILL)
        # Its processes end by themselves, in good order if the server lets them.
        self._begin(hurt, id(worker), _REPLACE_S, self._keep_up_workers)

    def _kill_group(self) -> None:
        worker = self._victim()
        if worker is None:
            return
        pids = group_of(worker)
        worker.worker.signal_group(signal.SIGKILL)
        self._begin(self._hurt("kill a whole worker", pids, deadly=True), id(worker), _REPLACE_S, self._keep_up_workers)

    def _deploy(self) -> None:
        worker = self._victim()
        if worker is None:
            return
        hurt = self._hurt("replace a worker", group_of(worker))
        hurt.ending = True
        worker.worker.signal(signal.SIGTERM)
        self._begin(hurt, id(worker), _REPLACE_S, self._keep_up_workers)

    # The servers.

    def _harm_servers(self, fault: Fault) -> None:
        if _SERVERS in self._busy or not self._world.topology.settled():
            return
        hurt = self._hurt(fault.what)
        trouble = fault.strike(self._draw)
        if trouble is PASSED:
            self.done[fault.what] += 1
        elif trouble is not None:
            self._trouble(hurt, trouble)

    def _trouble(self, hurt: Hurt, trouble: Trouble) -> None:
        """Notes what has begun, to be healed, and looked at until the servers are as they should be."""
        self.done[hurt.what] += 1
        hurt.promotes, hurt.outlived, hurt.partitions = trouble.promotes, trouble.outlived, trouble.partitions
        self._world.note(hurt)
        self._busy.add(_SERVERS)
        self._owners = None
        looked_until = time.monotonic() + trouble.seconds + _SETTLING_S

        def healed() -> None:
            trouble.heal()
            look()

        def look() -> None:
            # As long as a server that was replaced has not noticed, it confirms what will be thrown away.
            settled = trouble.settled()
            hurt.ended_ns = time.monotonic_ns()
            if settled:
                self._busy.discard(_SERVERS)
                self._look_at_owners()
                return
            assert time.monotonic() < looked_until, f"after {hurt.what!r} the servers do not come to rest"
            self._later(_LOOK_S, look)

        self._later(trouble.seconds, healed)

    def _look_at_owners(self) -> None:
        """Finds out whether another server has taken over though nothing was done: a busy one was taken for dead."""
        if _SERVERS in self._busy:
            return
        looked_ns = time.monotonic_ns()
        try:
            owners = self._world.topology.owners()
        except (redis.RedisError, NoServer):
            return
        if self._owners is not None and self._owners[0] != owners:
            hurt = self._hurt(_UNASKED)
            hurt.began_ns = self._owners[1]
            trouble = Trouble(0.0, settled=self._world.topology.settled, promotes=True, outlived=True)
            self._trouble(hurt, trouble)
        else:
            self._owners = owners, looked_ns

    # The lines.

    def _harm_worker_line(self) -> None:
        worker = self._victim()
        if worker is None or not worker.line.harmable:
            return
        hurt = self._hurt(f"a worker's line: {worker.line.harm(self._draw)}", group_of(worker))

        def heal() -> None:
            worker.line.heal()
            # Also those that came while it lasted.
            hurt.pids |= group_of(worker)

        self._begin(hurt, id(worker), self._draw.uniform(0.1, 1.5), heal)

    def _harm_producers_line(self) -> None:
        line = self._world.producers_line
        if line.harmed or not line.harmable:
            return
        hurt = self._hurt(f"the producers' line: {line.harm(self._draw)}")
        self._begin(hurt, line, self._draw.uniform(0.1, 3.0), line.heal)
