"""Gauges: memory of the servers, descriptors and memory of the workers, read all the time; what grows is told."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

import psutil
import redis

from tests.chaos.topologies.base import NoServer
from tests.chaos.world import World

#: Seconds between two readings.
_INTERVAL_S = 0.5
#: A process is measured against itself from this age on, when it has imported and connected.
_SETTLED_S = 8.0
#: How much a settled process may grow: caches fill, allocators keep.
_MOST_GROWTH_MIB = 32.0
_MOST_NEW_DESCRIPTORS = 16


@dataclass
class Readings:
    """Of one process: the first after it had settled, and the largest since."""

    first_fds: int
    first_mib: float
    fds: int
    mib: float


@dataclass
class Gauges:
    """Reads in a thread of its own until stopped."""

    world: World
    by_process: dict[tuple[int, float], Readings] = field(default_factory=dict)
    server_mib: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.wait(_INTERVAL_S):
            self._read_server()
            for process in self.world.processes_of_workers():
                with suppress(psutil.Error):
                    self._read(process)

    def _read_server(self) -> None:
        try:
            self.server_mib.append(self.world.topology.used_memory() / 2**20)
        except (redis.RedisError, NoServer):
            # One is killed or frozen; the next reading follows.
            return

    def _read(self, process: psutil.Process) -> None:
        if time.time() - process.create_time() < _SETTLED_S:
            return
        fds, mib = process.num_fds(), process.memory_info().rss / 2**20
        key = process.pid, process.create_time()
        readings = self.by_process.setdefault(key, Readings(fds, mib, fds, mib))
        readings.fds, readings.mib = max(readings.fds, fds), max(readings.mib, mib)

    def problems(self) -> list[str]:
        found = []
        for (pid, _), readings in self.by_process.items():
            if readings.fds - readings.first_fds > _MOST_NEW_DESCRIPTORS:
                found.append(f"process {pid} went from {readings.first_fds} to {readings.fds} descriptors")
            if readings.mib - readings.first_mib > _MOST_GROWTH_MIB:
                found.append(f"process {pid} grew from {readings.first_mib:.0f} to {readings.mib:.0f} MiB")
        return found

    def summary(self) -> str:
        readings = list(self.by_process.values())
        if not readings or not self.server_mib:
            return "no process lived long enough to be measured"
        return (
            f"{len(readings)} processes measured, at most {max(r.mib for r in readings):.0f} MiB"
            f" (growth {max(r.mib - r.first_mib for r in readings):.1f} MiB)"
            f" and {max(r.fds for r in readings)} descriptors; servers at most {max(self.server_mib):.1f} MiB"
        )
