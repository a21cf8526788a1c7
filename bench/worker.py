"""Starts the real `fastjobs-worker` on the measured app and times how fast it drains."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Protocol

import psutil

from bench.server import wait_until

ROOT = Path(__file__).parent.parent
_READY_TIMEOUT_S = 60.0
_DRAIN_TIMEOUT_S = 600.0


class Site(Protocol):
    """The place of a worker: one server, or a cluster."""

    @property
    def queue(self) -> str:
        """The measured queue."""

    @property
    def environment(self) -> dict[str, str]:
        """The environment with which a worker finds it."""

    def sessions(self) -> int:
        """Returns how many processes are ready."""

    def stat(self, field: str) -> int:
        """Returns one of the queue's exact counters."""

    def let_go(self, processes: int) -> None:
        """Lets workers take jobs, and wakes that many processes."""


def worker_command(*options: object) -> list[str]:
    """Returns the command line of a worker on the measured app."""
    command = Path(sys.executable).with_name("fastjobs-worker")
    return [str(command), "bench.app:app", "--log-level", "warning", *map(str, options)]


class BenchWorker:
    """A worker whose processes are ready and idle; a context manager.

    Args:
        server: its server or cluster.
        processes: -p
        concurrency: -c
        environment: additional variables.
    """

    def __init__(
        self,
        server: Site,
        processes: int = 1,
        concurrency: int = 1,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._server = server
        self._processes = processes
        self._command = worker_command("-p", processes, "-c", concurrency, "-Q", server.queue)
        self._environment = os.environ | server.environment | (environment or {})
        self._worker: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> BenchWorker:
        self._worker = subprocess.Popen(
            self._command, cwd=ROOT, env=self._environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(self._ready, _READY_TIMEOUT_S, "the worker is ready")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._worker is not None
        self._worker.terminate()
        try:
            self._worker.wait(60)
        except subprocess.TimeoutExpired:
            self._worker.kill()
            raise

    def children(self) -> list[psutil.Process]:
        """Returns the processes that run jobs."""
        assert self._worker is not None
        return psutil.Process(self._worker.pid).children()

    def cpu_s(self) -> float:
        """Returns the processor time its processes have used, in seconds."""
        times = [child.cpu_times() for child in self.children()]
        return sum(used.user + used.system for used in times)

    def drain_s(self, jobs: int, every_s: float = 0.005) -> float:
        """Releases the held queue and waits until `jobs` jobs have finished and been acked; returns the seconds.

        The worker is already ready and idle, so its start does not count; its first fetch and last ack do.

        Args:
            jobs: number of queued jobs.
            every_s: interval at which the server is asked; each time slows the work a little.
        """
        goal = self._server.stat("finished_total") + jobs
        begun = time.perf_counter()
        self._server.let_go(self._processes)
        finished = f"{jobs} jobs have finished"
        wait_until(lambda: self._server.stat("finished_total") >= goal, _DRAIN_TIMEOUT_S, finished, every_s)
        return time.perf_counter() - begun

    def _ready(self) -> bool:
        assert self._worker is not None
        if self._worker.poll() is not None:
            raise RuntimeError(f"the worker ended with exit code {self._worker.returncode}")
        return self._server.sessions() >= self._processes
