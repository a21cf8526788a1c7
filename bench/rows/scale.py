"""Whether jobs cost more in a full system: its drain rate compared with that of an empty one."""

from __future__ import annotations

import statistics
import sys

import psutil

from bench.payload import arguments
from bench.rows.drain import enqueue_reference
from bench.rows.enqueue import reference_type
from bench.rows.handlers import enqueue_named
from bench.rows.row import Figure, Row
from bench.server import BenchServer, wait_until
from bench.worker import BenchWorker
from fastjobs import FastJobs
from fastjobs.store.scripts import all_scripts

#: The server records scripts slower than this many microseconds, so that the slowest is known.
_NOTED_US = 500
_MOST_NOTED = 10_000
_QUEUED, _SCHEDULED, _FAILED = 5_000_000, 1_000_000, 1_000_000
_FULL_HISTORY = 20_000
_DRAINS = 3
_A_DAY_S = 86_400
_LOAD_TIMEOUT_S = 900.0


class Scale(Row):
    """The same jobs drained from an empty system and from a full one."""

    name = "scale"
    title = "drain with 5 M queued, 1 M scheduled, 1 M failed, full history"
    figures = (
        Figure("empty", "jobs/s"),
        Figure("loaded", "jobs/s"),
        Figure("loaded_vs_empty", "x", at_least=0.9),
        Figure("cpu_loaded_vs_empty", "x", at_most=1.1),
        Figure("slowest_script", "ms", at_most=5),
    )
    quick = False
    max_rounds = 3

    def prepare(self) -> None:
        self._items = arguments(1_000_000)

    def measure(self, turn: int) -> dict[str, float]:
        # More failed jobs would be trimmed; the same for both.
        environment = {"FASTJOBS_FAILED_KEEP": str(2 * _FAILED)}
        with self.setting.server() as server, BenchWorker(server, environment=environment) as worker:
            server.client.config_set("slowlog-log-slower-than", _NOTED_US)
            server.client.config_set("slowlog-max-len", _MOST_NOTED)
            empty, empty_cpu = self._drain_some(server, worker)
            self._load(server, worker)
            loaded, loaded_cpu = self._drain_some(server, worker)
            slowest_us = _slowest_us(server)
        return {
            "empty": empty,
            "loaded": loaded,
            "loaded_vs_empty": loaded / empty,
            "cpu_loaded_vs_empty": loaded_cpu / empty_cpu,
            "slowest_script": slowest_us / 1000,
        }

    def _drain_some(self, server: BenchServer, worker: BenchWorker) -> tuple[float, float]:
        """Returns jobs per second, the median of a few drains, and processor seconds of worker and server for all."""
        processes = [*worker.children(), psutil.Process(server.pid)]
        before_s = _cpu_s(processes)
        rates = [self._drain(server, worker) for _ in range(_DRAINS)]
        return statistics.median(rates), _cpu_s(processes) - before_s

    def _drain(self, server: BenchServer, worker: BenchWorker) -> float:
        server.hold()
        enqueue_reference(server.url, self._items)
        # Writes of the loading phase go to the disk first.
        server.settle()
        seconds = worker.drain_s(len(self._items))
        server.hold()
        return len(self._items) / seconds

    def _load(self, server: BenchServer, worker: BenchWorker) -> None:
        """Fills the system; the worker is held."""
        enqueue_named(server, "fail", list(range(_FAILED)))
        server.let_go(1)
        wait_until(lambda: server.stat("failed") >= _FAILED, _LOAD_TIMEOUT_S, "enough jobs have failed", every_s=0.1)
        server.hold()
        app = FastJobs(server.url)
        welcome = reference_type(app)
        welcome.options(delay=_A_DAY_S).enqueue_many(self._items[:_SCHEDULED])
        welcome.enqueue_many(self._items[:_FULL_HISTORY])
        worker.drain_s(_FULL_HISTORY)
        server.hold()
        for _ in range(_QUEUED // len(self._items)):
            welcome.enqueue_many(self._items)
        app.close()


def _cpu_s(processes: list[psutil.Process]) -> float:
    return sum(times.user + times.system for times in (process.cpu_times() for process in processes))


def _slowest_us(server: BenchServer) -> int:
    """Returns how long the slowest script call took, in microseconds; names it on standard error."""
    names = {script.sha: script.name for script in all_scripts()}
    slowest = (0, "none")
    for entry in server.client.slowlog_get(_MOST_NOTED):
        command, *arguments = bytes(entry["command"]).decode("ascii", "replace").split()[:2]
        if command == "EVALSHA":
            slowest = max(slowest, (entry["duration"], names.get(arguments[0], arguments[0])))
    print(f"slowest script: {slowest[1]}, {slowest[0]} us", file=sys.stderr)
    return slowest[0]
