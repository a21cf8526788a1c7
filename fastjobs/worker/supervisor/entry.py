"""The worker's entry in the list of workers, for people and programs to read; `operating.workers` reads it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import orjson

from fastjobs._core import boot_time_ns
from fastjobs.config import Config, WorkerConfig
from fastjobs.model.refs import job_id
from fastjobs.worker.supervisor.child import Child
from fastjobs.worker.supervisor.quieting import Quieting

#: A worker that has not renewed its entry for this many leases is dropped from the list.
_FORGOTTEN_LEASES = 10


class WorkerIdentity(NamedTuple):
    """Which worker this is."""

    #: Names this run of it.
    id: str
    #: `host:pid`, stored with run times and errors.
    name: str
    #: In milliseconds since 1970, by this machine's clock.
    started_ms: int


class WorkerEntry:
    """What a worker says about itself.

    Args:
        worker: which worker.
        config: its settings.
        app: the app's settings.
        children: its processes.
        queues: the queues it works on.
        types: the job types it knows.
        quieting: whether it starts nothing more.
    """

    def __init__(
        self,
        worker: WorkerIdentity,
        config: WorkerConfig,
        app: Config,
        children: Sequence[Child],
        queues: Sequence[str],
        types: Sequence[str],
        quieting: Quieting,
    ) -> None:
        self._children = children
        self._quieting = quieting
        self._fixed = {
            "worker": worker.name,
            "threads": config.threads,
            "queues": queues,
            "types": types,
            "started_ms": worker.started_ms,
            "forgotten_ms": app.lease_ms * _FORGOTTEN_LEASES,
        }

    def encode(self) -> bytes:
        """Returns the entry as it is now, in JSON."""
        return orjson.dumps(
            {
                **self._fixed,
                "processes": len(self._children),
                "pids": [child.pid for child in self._children],
                "starting": [child.pid for child in self._children if child.hello is None],
                "executed": sum(child.board.executed for child in self._children),
                "running": self._running(),
                "quiet": self._quieting.asked,
                "beat_ms": time.time_ns() // 1_000_000,
            }
        )

    def _running(self) -> list[dict[str, object]]:
        """The jobs that the processes are running, by their boards."""
        now_ns = boot_time_ns()
        return [
            {"id": job_id(ref, index, n), "pid": child.pid, "seconds": (now_ns - started_ns) / 1e9}
            for child in self._children
            for ref, n, index, started_ns in child.board.running()
        ]
