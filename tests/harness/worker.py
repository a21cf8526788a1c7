"""A real worker under a test's control, started by the installed command; and a lab of everything a test needs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil

from fastjobs import FastJobs, Status
from fastjobs.model.partitions import number_of, queue_of
from fastjobs.store.keys import queue_keys
from tests.apps.handlers import register
from tests.harness.ledger import LEDGER_VARIABLE, Ledger
from tests.harness.server import ServerProcess
from tests.harness.waiting import wait_until

#: The directory that holds `tests`.
ROOT = Path(__file__).parents[2]
MAIN_APP = "tests.apps.main:app"
COMMAND = str(Path(sys.executable).with_name("fastjobs-worker"))
#: Long enough for a busy machine, short enough to wait for.
LEASE_MS = 800
PATIENCE_S = 30.0


def clean_environment(**further: str) -> dict[str, str]:
    """This process's environment without what could change a worker's settings."""
    ours = ("FASTJOBS_", "REDIS_URL", "VALKEY_URL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **further}


def troubles(log: str) -> list[str]:
    """The lines of a worker's log that say that something went wrong in fastjobs: no job may bring that about."""
    named = re.findall(r"^.*(?:process exited|executor thread interrupted|Unrecordable).*$", log, re.MULTILINE)
    return named + tracebacks(log)


def tracebacks(log: str) -> list[str]:
    """The lines of a worker's log that are followed by a traceback, without those about a job that raised."""
    found, event = [], ""
    for line in log.splitlines():
        of_a_job = line.startswith(" ") and re.search("job failed|job will be retried", event)
        if "Traceback (" in line and not of_a_job:
            found.append(event or line)
        if not line.startswith(" "):
            event = line
    return found


class Worker:
    """One `fastjobs-worker` in a process group of its own."""

    def __init__(
        self, directory: Path, arguments: list[str], environment: dict[str, str], under: tuple[str, ...] = ()
    ) -> None:
        number = len(list(directory.glob("worker-*.log")))
        self._log = directory / f"worker-{number}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*under, COMMAND, *arguments],
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pid = self.process.pid

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_for_log(self, pattern: str, times: int = 1) -> None:
        wait_until(lambda: len(re.findall(pattern, self.log)) >= times, PATIENCE_S, f"{pattern!r} is logged")

    def wait_ready(self, processes: int = 1) -> Worker:
        self.wait_for_log("process ready", processes)
        return self

    def children(self) -> list[int]:
        """The ids of its living processes."""
        try:
            found = psutil.Process(self.pid).children()
        except psutil.NoSuchProcess:
            return []
        return [child.pid for child in found if child.status() != psutil.STATUS_ZOMBIE]

    def ready_children(self) -> set[int]:
        """The ids of all its processes that ever became ready."""
        return set(map(int, re.findall(r"process ready pid=(\d+)", self.log)))

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def signal_group(self, number: int) -> None:
        os.killpg(self.pid, number)

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """Waits for its end; returns the exit code."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the worker has not ended within {timeout_s} s:\n{self.log}") from None

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()

    def close(self) -> None:
        """Ends everything that is left of it."""
        for number in (signal.SIGKILL, signal.SIGCONT):
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)
        self.process.wait()
        wait_until(lambda: not group_members(self.pid), PATIENCE_S, "the worker's group is empty")


def group_members(group: int) -> list[int]:
    """The living processes of a group."""
    members = []
    for process in psutil.process_iter(["pid", "status"]):
        with suppress(ProcessLookupError, PermissionError):
            if os.getpgid(process.pid) == group and process.info["status"] != psutil.STATUS_ZOMBIE:
                members.append(process.pid)
    return members


class Lab:
    """A server, a namespace, a directory, an app on the producing side, and workers on the other."""

    def __init__(self, server: ServerProcess, namespace: str, directory: Path, lease_ms: int = LEASE_MS) -> None:
        self.server = server
        self.namespace = namespace
        self.directory = directory
        self.lease_ms = lease_ms
        self.ledger = Ledger(directory / "ledger")
        self.app = FastJobs(server.url, namespace=namespace, lease_s=lease_ms / 1000, retry_budget_s=20)
        self.jobs: SimpleNamespace = register(self.app)
        self.redis = server.client()
        #: Further settings of workers, as variables of their environment.
        self.settings: dict[str, str] = {}
        self._workers: list[Worker] = []

    def environment(self, **further: str) -> dict[str, str]:
        ours = {
            "FASTJOBS_URL": self.server.url,
            "FASTJOBS_NAMESPACE": self.namespace,
            "FASTJOBS_LEASE_S": str(self.lease_ms / 1000),
            LEDGER_VARIABLE: str(self.ledger.path),
        }
        return clean_environment(**{**ours, **self.settings, **further})

    def worker(
        self,
        *arguments: str,
        app: str | None = MAIN_APP,
        env: dict[str, str] | None = None,
        under: tuple[str, ...] = (),
    ) -> Worker:
        """Starts a worker, `under` another command if there is one; one process unless told otherwise."""
        target = [app] if app else []
        chosen = list(arguments)
        if "-p" not in chosen and not (env and "FASTJOBS_PROCESSES" in env):
            chosen += ["-p", "1"]
        worker = Worker(self.directory, [*target, *chosen], self.environment(**(env or {})), under)
        self._workers.append(worker)
        return worker

    def burst(self, *arguments: str) -> Worker:
        """Runs a worker until the queues are drained."""
        worker = self.worker("--burst", *arguments)
        assert worker.wait(PATIENCE_S) == 0, worker.log
        return worker

    def gate(self, name: str = "gate") -> Path:
        """A file that jobs wait for."""
        return self.directory / name

    def counts(self, queue: str = "default") -> dict[str, int]:
        """Jobs by status, of those statuses that have any."""
        found = self.app.jobs.counts([queue])[queue]
        return {status.value: number for status, number in found.items() if number}

    def count(self, status: Status) -> int:
        return self.app.jobs.count(status)

    def field(self, name: str, queue: str = "default") -> int:
        """A counter of the queue."""
        return int(self.redis.hget(self.key("stats", queue), name) or 0)

    def key(self, name: str, queue: str = "default") -> str:
        return str(getattr(queue_keys(self.namespace, queue_of(queue), number_of(queue)), name), "ascii")

    def wait_started(self, *keys: str | int) -> None:
        self.wait(lambda: set(map(str, keys)) <= set(self.ledger.keys("START")), f"{keys} run")

    def wait_ended(self, *keys: str | int) -> None:
        self.wait(lambda: set(map(str, keys)) <= set(self.ledger.keys("END")), f"{keys} have run")

    def wait(self, condition: Callable[[], object], what: str, timeout_s: float = PATIENCE_S) -> None:
        try:
            wait_until(condition, timeout_s, what)
        except AssertionError as error:
            logs = "\n".join(worker.log for worker in self._workers)
            raise AssertionError(f"{error}\n{self.counts()}\n{self.ledger.entries()[-20:]}\n{logs}") from None

    def holds_nothing(self, queue: str = "default") -> bool:
        """Whether no session holds a lease."""
        return not any(b":" in name for name in self.redis.hkeys(self.key("leases", queue)))

    def close(self) -> None:
        for worker in self._workers:
            worker.close()
        self.app.close()
        self.redis.close()


def run_for(seconds: float, step: Callable[[], Any], every_s: float) -> None:
    """Repeats a step at an interval, for a time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        step()
        time.sleep(every_s)
