"""A world to do harm to: a server, workers each behind a proxy of its own, and a producing side behind another."""

from __future__ import annotations

import os
import re
import signal
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import psutil
import redis

from fastjobs import FastJobs
from fastjobs.keys import queue_keys
from tests.chaos.app import QUEUES
from tests.chaos.journal import JOURNAL_VARIABLE, Journal
from tests.harness.proxy import Proxy
from tests.harness.server import ServerProcess
from tests.harness.waiting import wait_until
from tests.harness.worker import ROOT, Worker, clean_environment, group_members

APP = "tests.chaos.app:app"
NAMESPACE = "chaos"
#: What counts as live: while there is any, the queues are not drained.
_LIVE = ("queued", "executing", "retrying", "scheduled")


@dataclass
class Hurt:
    """Something was done, to the processes of one worker, or (no pids) to the server, for a time."""

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


@dataclass
class ChaosWorker:
    """A worker and the proxy through which it reaches the server."""

    worker: Worker
    proxy: Proxy
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
        lease_ms: the workers' lease.
        processes, threads: of each worker.
        shortest_timeout_s: how long clients wait for a reply: short, so that a fault is not mostly waiting.
    """

    def __init__(
        self,
        directory: Path,
        *,
        lease_ms: int = 2000,
        processes: int = 2,
        threads: int = 2,
        timeout_s: float = 0.5,
        budget_s: float = 2.0,
    ) -> None:
        self.directory = directory
        self.lease_ms, self.processes, self.threads = lease_ms, processes, threads
        self._timeout_s = timeout_s
        self.journal = Journal(directory / "journal")
        self.server = ServerProcess()
        self.server.start()
        self.redis = self.server.client()
        self._proxies = ExitStack()
        self.producer_proxy = self._proxies.enter_context(Proxy(self.server.socket))
        settings = {"lease_ms": lease_ms, "retry_budget_s": budget_s, "socket_timeout_s": timeout_s}
        #: The producers' side, which may be harmed, and one to look with, which goes straight to the server.
        self.app = FastJobs(self.producer_proxy.url, namespace=NAMESPACE, **settings)
        self.looking_app = FastJobs(self.server.url, namespace=NAMESPACE, lease_ms=lease_ms)
        self.workers: list[ChaosWorker] = []
        self.hurts: list[Hurt] = []
        self.keys = {queue: queue_keys(NAMESPACE, queue) for queue in QUEUES}

    def start_worker(self) -> ChaosWorker:
        proxy = self._proxies.enter_context(Proxy(self.server.socket))
        environment = clean_environment(
            FASTJOBS_URL=proxy.url,
            FASTJOBS_NAMESPACE=NAMESPACE,
            FASTJOBS_LEASE_MS=str(self.lease_ms),
            FASTJOBS_SOCKET_TIMEOUT_S=str(self._timeout_s),
            **{JOURNAL_VARIABLE: str(self.journal.path)},
        )
        # Set when the tests break fastjobs to see whether that is noticed; see `breaking/sitecustomize.py`.
        if "CHAOS_BREAK" in os.environ:
            environment["PYTHONPATH"] = f"{Path(__file__).parent / 'breaking'}:{ROOT}"
        arguments = [APP, "-p", str(self.processes), "-c", str(self.threads)]
        made = ChaosWorker(Worker(self.directory, arguments, environment), proxy)
        self.workers.append(made)
        return made

    def note(self, hurt: Hurt) -> Hurt:
        self.hurts.append(hurt)
        return hurt

    def living_workers(self) -> list[ChaosWorker]:
        return [worker for worker in self.workers if worker.alive]

    # Looking, straight at the server.

    def status_counts(self) -> dict[str, int] | None:
        """Jobs by status, of all queues; None while the server does not answer."""
        counts = dict.fromkeys(_LIVE, 0)
        try:
            with redis.Redis(unix_socket_path=self.server.socket, socket_timeout=0.3, protocol=2) as client:
                for keys in self.keys.values():
                    values = client.hmget(keys.stats, *_LIVE)
                    for name, value in zip(_LIVE, values, strict=True):
                        counts[name] += int(value or 0)
        except redis.RedisError:
            return None
        return counts

    def waiting(self) -> int:
        """Jobs that are not done; 0 while the server does not answer, so that producers go on asking."""
        counts = self.status_counts()
        return sum(counts.values()) if counts else 0

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
        with suppress(ProcessLookupError, AssertionError):
            self.server.thaw()
        for worker in self.workers:
            worker.worker.close()
        self.app.close()
        self.looking_app.close()
        self._proxies.close()
        self.redis.close()
        self.server.close()
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
