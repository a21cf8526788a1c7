"""Reads the list of workers: what each `fastjobs-worker` says about itself with every heartbeat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from fastjobs.store.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningJob:
    """A job that a worker was running at its last heartbeat.

    Attributes:
        id: the job; `<id>~000` for a job alone in its chunk that was retried is the same job as `<id>`.
        pid: the process that ran it.
        seconds: for how long it had been running by then.
    """

    id: str
    pid: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """A worker, as of its last heartbeat.

    Attributes:
        id: names this run of it.
        name: what it was given as `--name`, or `host:pid` of its supervisor; stored with run times and errors.
        processes: how many processes run its jobs.
        threads: how many threads each of them has for that.
        queues: the queues it works on.
        types: the job types it knows.
        pids: its processes.
        starting: those of them that are not ready yet.
        executed: jobs that its present processes have run.
        running: jobs being run.
        quiet: whether it starts nothing more.
        started_at: when it started, by its own clock.
        beat_at: its last heartbeat, by its own clock.
        age: how long ago that was by the server's clock, not negative.
    """

    id: str
    name: str
    processes: int
    threads: int
    queues: tuple[str, ...]
    types: tuple[str, ...]
    pids: tuple[int, ...]
    starting: tuple[int, ...]
    executed: int
    running: tuple[RunningJob, ...]
    started_at: datetime
    beat_at: datetime
    age: timedelta
    quiet: bool = False


class Workers:
    """Looks workers up.

    Args:
        store: gives the calling thread's store.
    """

    def __init__(self, store: Callable[[], Store]) -> None:
        self._store = store

    def list(self) -> list[Worker]:
        """Returns the workers of the namespace, by name; without those that have been silent for ten leases."""
        store = self._store()
        batch = store.batch()
        entries, now_ms = batch.worker_entries(), batch.time_ms()
        batch.run()
        found = [
            _parse(worker_id.decode("utf-8", "replace"), entry, now_ms.value)
            for worker_id, entry in entries.value.items()
        ]
        return sorted((worker for worker in found if worker is not None), key=lambda worker: (worker.name, worker.id))

    def quiet(self, worker: Worker) -> None:
        """Tells a worker to start nothing more; it finds out with its next heartbeat, and goes on living."""
        self._order(worker, "quiet")

    def stop(self, worker: Worker) -> None:
        """Tells a worker to stop, as SIGTERM does; it finds out with its next heartbeat."""
        self._order(worker, "stop")

    def _order(self, worker: Worker, order: str) -> None:
        self._store().batch().give_order(worker.id, order).run()


def _parse(worker_id: str, entry: bytes, now_ms: int) -> Worker | None:
    """Reads an entry; None when its worker is forgotten, or it was written by a release that is too different."""
    try:
        values: dict[str, Any] = orjson.loads(entry)
        age_ms = max(0, now_ms - int(values["beat_ms"]))
        if age_ms > int(values["forgotten_ms"]):
            return None
        return Worker(
            id=worker_id,
            name=str(values["worker"]),
            processes=int(values["processes"]),
            threads=int(values["threads"]),
            queues=tuple(map(str, values["queues"])),
            types=tuple(map(str, values["types"])),
            pids=tuple(map(int, values["pids"])),
            starting=tuple(map(int, values["starting"])),
            executed=int(values["executed"]),
            running=tuple(
                RunningJob(id=str(job["id"]), pid=int(job["pid"]), seconds=float(job["seconds"]))
                for job in values["running"]
            ),
            quiet=bool(values["quiet"]),
            started_at=_instant(int(values["started_ms"])),
            beat_at=_instant(int(values["beat_ms"])),
            age=timedelta(milliseconds=age_ms),
        )
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None


def _instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
