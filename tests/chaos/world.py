"""A world to do harm to: servers, workers each at the end of a line of its own, and a producing side."""

from __future__ import annotations

import os
import re
import signal
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import psutil
import redis

from fastjobs import FastJobs
from tests.chaos.journal import JOURNAL_VARIABLE, Journal
from tests.chaos.topologies.base import LEASE_MS, NAMESPACE, Line, NoServer, Topology
from tests.chaos.topologies.single import SingleServer
from tests.harness.waiting import wait_until
from tests.harness.worker import ROOT, Worker, clean_environment, group_members

APP = "tests.chaos.app:app"
#: What counts as live: while there is any, the queues are not drained.
_LIVE = ("queued", "executing", "retrying", "scheduled")
#: What `waiting` says is at most this old, in seconds: asking costs the servers as much as an enqueue.
_COUNT_S = 0.1


@dataclass
class Hurt:
    """Something was done, to the processes of one worker, or (no pids) to the servers, for a time."""

    what: str
    began_ns: int
    ended_ns: int
    pids: frozenset[int] = frozenset()
    #: The processes are gone: what they had not reported is lost with them.
    deadly: bool = False
    #: Their supervisor lives on and reports for them.
    settled_by_supervisor: bool = False
    #: The processes end in good order, unless something else happens at the same time.
    ending: bool = False
    #: Another server may have taken over without what the one before had confirmed last.
    promotes: bool = False
    #: The one before lived on, and confirmed what was thrown away until it was demoted: until this has ended.
    outlived: bool = False
    #: Which partitions are served by another server afterwards; None = this is not about that.
    partitions: frozenset[str] | None = None


@dataclass
class ChaosWorker:
    """A worker and the line through which it reaches the servers."""

    worker: Worker
    line: Line
    #: Every process it ever had, as far as anybody looked; the supervisor among them.
    pids: set[int] = field(default_factory=set)

    def processes(self) -> set[int]:
        """Its living processes."""
        found = {self.worker.pid, *self.worker.children()}
        self.pids |= found
        return found

    @property
    def alive(self) -> bool:
        return self.worker.process.poll() is None


class World:
    """Everything of one run.

    Args:
        directory: where the journal and the logs are.
        topology: the servers; they are started and closed with the world. None = one server.
        lease_ms: the workers' lease.
        processes, threads: of each worker.
        timeout_s: how long clients wait for a reply: short, so that a fault is not mostly waiting.
        budget_s: how long producers try.
    """

    def __init__(
        self,
        directory: Path,
        topology: Topology | None = None,
        *,
        lease_ms: int = LEASE_MS,
        processes: int = 2,
        threads: int = 2,
        timeout_s: float = 0.5,
        budget_s: float = 2.0,
    ) -> None:
        self.directory = directory
        self.lease_ms, self.processes, self.threads = lease_ms, processes, threads
        self._timeout_s = timeout_s
        self.journal = Journal(directory / "journal")
        self.workers: list[ChaosWorker] = []
        self.hurts: list[Hurt] = []
        self._lines: list[Line] = []
        self._counted = (0, 0.0)
        self.topology = topology or SingleServer()
        try:
            self.topology.start()
        except BaseException:
            self.topology.close()
            raise
        self.producers_line = self.topology.producers_line()
        settings = {
            "namespace": NAMESPACE,
            "lease_s": lease_ms / 1000,
            "retry_budget_s": budget_s,
            "socket_timeout_s": timeout_s,
            "partitions": self.topology.partitions,
        }
        #: The producers' side, which may be harmed, by how durably it enqueues; and one to look with, which may not.
        self.apps: Mapping[str, FastJobs] = {"fire": FastJobs(self.producers_line.url, **settings)}
        if self.topology.replicas:
            copies = {"durability": "replicated", "replicas": self.topology.replicas}
            self.apps = {**self.apps, "replicated": FastJobs(self.producers_line.url, **settings, **copies)}
        self.looking_app = FastJobs(
            self.topology.url, namespace=NAMESPACE, lease_s=lease_ms / 1000, partitions=self.topology.partitions
        )

    def start_worker(self) -> ChaosWorker:
        line = self._free_line()
        environment = clean_environment(
            FASTJOBS_URL=line.url,
            FASTJOBS_NAMESPACE=NAMESPACE,
            FASTJOBS_LEASE_S=str(self.lease_ms / 1000),
            FASTJOBS_SOCKET_TIMEOUT_S=str(self._timeout_s),
            FASTJOBS_PARTITIONS=str(self.topology.partitions),
            **{JOURNAL_VARIABLE: str(self.journal.path)},
        )
        # Set when the tests break fastjobs to see whether that is noticed; see `breaking/sitecustomize.py`.
        if "CHAOS_BREAK" in os.environ:
            environment["PYTHONPATH"] = f"{Path(__file__).parent / 'breaking'}:{ROOT}"
        arguments = [APP, "-p", str(self.processes), "-c", str(self.threads)]
        made = ChaosWorker(Worker(self.directory, arguments, environment, line.prefix), line)
        self.workers.append(made)
        return made

    def _free_line(self) -> Line:
        """A line that a worker has left behind in good order, or a new one."""
        used = [worker.line for worker in self.living_workers()]
        for line in self._lines:
            if line not in used and not line.harmed:
                return line
        self._lines.append(self.topology.worker_line())
        return self._lines[-1]

    def note(self, hurt: Hurt) -> Hurt:
        self.hurts.append(hurt)
        return hurt

    def living_workers(self) -> list[ChaosWorker]:
        return [worker for worker in self.workers if worker.alive]

    # Looking, straight at the servers.

    def status_counts(self) -> dict[str, int] | None:
        """Jobs by status, of all queues; None while one of the servers does not answer."""
        counts = dict.fromkeys(_LIVE, 0)
        try:
            for keys in self.topology.keys.values():
                with self.topology.owner(keys.stats).client(0.3) as client:
                    values = client.hmget(keys.stats, *_LIVE)
                for name, value in zip(_LIVE, values, strict=True):
                    counts[name] += int(value or 0)
        except (redis.RedisError, NoServer):
            return None
        return counts

    def waiting(self) -> int:
        """Jobs that are not done; 0 while a server does not answer, so that producers go on asking."""
        number, counted_at = self._counted
        if time.monotonic() - counted_at > _COUNT_S:
            counts = self.status_counts()
            number = sum(counts.values()) if counts else 0
            self._counted = number, time.monotonic()
        return number

    def drained(self) -> bool:
        counts = self.status_counts()
        return counts is not None and not any(counts.values())

    def logs(self) -> dict[str, str]:
        return {path.name: path.read_text(errors="replace") for path in sorted(self.directory.glob("worker-*.log"))}

    def processes_of_workers(self) -> list[psutil.Process]:
        found = []
        for worker in self.living_workers():
            for pid in worker.processes():
                with suppress(psutil.NoSuchProcess):
                    found.append(psutil.Process(pid))
        return found

    # Ending.

    def stop_workers(self) -> list[int]:
        """Ends all workers in good order; returns the exit codes of those that were alive."""
        living = self.living_workers()
        for worker in living:
            worker.worker.signal(signal.SIGTERM)
        return [worker.worker.wait(60) for worker in living]

    def close(self) -> None:
        for worker in self.workers:
            worker.worker.close()
        for app in (*self.apps.values(), self.looking_app):
            app.close()
        self.topology.close()
        self.journal.close()

    def __enter__(self) -> World:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def group_of(worker: ChaosWorker) -> frozenset[int]:
    """All living processes of the worker's group, whoever their parent is."""
    found = frozenset(group_members(worker.worker.pid)) | worker.processes()
    worker.pids |= found
    return found


def refused_acks(logs: dict[str, str]) -> int:
    """Possible duplicates as the workers themselves counted them."""
    return sum(int(number) for log in logs.values() for number in re.findall(r"possible duplicates jobs=(\d+)", log))


def make_directory() -> Path:
    return Path(tempfile.mkdtemp(prefix="fj-chaos-", dir="/tmp"))


def wait_drained(world: World, timeout_s: float) -> float | None:
    """Waits until nothing is left to do; returns the seconds it took, None when it did not come to that."""
    began = time.monotonic()
    try:
        wait_until(world.drained, timeout_s, "all queues are drained")
    except AssertionError:
        return None
    return time.monotonic() - began
