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

import redis

from tests.chaos.world import ChaosWorker, Hurt, World, group_of
from tests.harness.proxy import Behaviour, Proxy

#: Seconds between two faults.
INTERVAL_S = (0.5, 3.0)
#: A worker that is replaced is so after this long, as a service manager would do it.
_REPLACE_S = 0.5
_WORKERS = 2

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
        self.done: Counter[str] = Counter()
        self._faults: list[tuple[int, Callable[[], None]]] = [
            (5, self._kill_child),
            (3, self._stop_child),
            (2, self._kill_supervisor),
            (2, self._stop_supervisor),
            (2, self._kill_group),
            (2, self._stop_group),
            (2, self._deploy),
            (3, self._kill_server),
            (2, self._freeze_server),
            (6, self._harm_worker_line),
            (6, self._harm_producer_line),
            (3, self._kill_clients),
            (3, self._flush_scripts),
            (2, self._fill_server),
        ]

    def run(self, seconds: float) -> None:
        """Harms for a time, heals everything, and leaves as many workers as there were."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._wait(min(until, time.monotonic() + self._draw.uniform(*INTERVAL_S)))
            if time.monotonic() < until:
                weights, faults = zip(*self._faults, strict=True)
                self._draw.choices(faults, weights)[0]()
            self._keep_up_workers()
        self.heal()

    def heal(self) -> None:
        while self._healing:
            self._heal_next()
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

        heapq.heappush(self._healing, (time.monotonic() + seconds, next(self._order), healed))

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

    def _span_s(self) -> float:
        """How long something is stopped: well within a lease, or well beyond it; in between nobody can tell."""
        lease_s = self._world.lease_ms / 1000
        return lease_s * self._draw.choice((0.2, 0.4, 1.5, 2.0))

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

        self._begin(hurt, id(worker), self._span_s(), thaw)

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

    # The server.

    def _kill_server(self) -> None:
        if "server" in self._busy:
            return
        hurt = self._hurt("kill the server")
        self._world.server.kill()
        self._begin(hurt, "server", self._draw.uniform(0.1, 1.5), lambda: self._world.server.start() and None)

    def _freeze_server(self) -> None:
        if "server" in self._busy:
            return
        hurt = self._hurt("freeze the server")
        self._world.server.freeze()
        self._begin(hurt, "server", self._span_s(), self._world.server.thaw)

    def _kill_clients(self) -> None:
        if "server" not in self._busy:
            self.done["kill all connections"] += 1
            for _ in range(5):
                self._command("CLIENT", "KILL", "TYPE", "normal")
                time.sleep(0.05)

    def _flush_scripts(self) -> None:
        if "server" not in self._busy:
            self.done["flush the scripts"] += 1
            for _ in range(5):
                self._command("SCRIPT", "FLUSH")
                time.sleep(0.05)

    def _fill_server(self) -> None:
        if "server" in self._busy:
            return
        hurt = self._hurt("fill the server")
        self._command("CONFIG", "SET", "maxmemory", "1")
        seconds = self._draw.uniform(0.5, 1.5)
        self._begin(hurt, "server", seconds, lambda: self._command("CONFIG", "SET", "maxmemory", "0"))

    def _command(self, *words: str) -> None:
        # A kill of all connections includes our own.
        with suppress(redis.RedisError):
            self._world.redis.execute_command(*words)

    # The lines.

    def _harm_worker_line(self) -> None:
        worker = self._victim()
        if worker is None:
            return
        what = self._harm(worker.proxy)
        hurt = self._hurt(f"a worker's line: {what}", group_of(worker))

        def heal() -> None:
            self._heal_line(worker.proxy)
            # Also those that came while it lasted.
            hurt.pids |= group_of(worker)

        self._begin(hurt, id(worker), self._draw.uniform(0.1, 1.5), heal)

    def _harm_producer_line(self) -> None:
        proxy = self._world.producer_proxy
        if id(proxy) in self._busy:
            return
        hurt = self._hurt(f"the producers' line: {self._harm(proxy)}")
        self._begin(hurt, id(proxy), self._draw.uniform(0.1, 3.0), lambda: self._heal_line(proxy))

    def _harm(self, proxy: Proxy) -> str:
        if self._draw.random() < 0.2:
            proxy.delay_replies(self._draw.uniform(0.02, 0.3))
            return "delay"
        behaviour = self._draw.choice([each for each in Behaviour if each is not Behaviour.PASS])
        # Some of the replies, or all while it lasts.
        proxy.behave(behaviour, self._draw.choice((1, 3, None)))
        return behaviour.value

    def _heal_line(self, proxy: Proxy) -> None:
        proxy.delay_replies(0)
        proxy.heal()
