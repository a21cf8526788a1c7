"""How soon an enqueued job starts, and how soon a new worker runs its first job."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.handover import Hints
from bench.notes import VARIABLE, Notes
from bench.rows.row import Figure, Row
from bench.server import BenchServer, wait_until
from bench.worker import ROOT, BenchWorker, worker_command
from fastjobs import FastJobs

_SPACING_S = 0.005
_TIMEOUT_S = 30.0


def noted_type(app: FastJobs) -> Callable[..., object]:
    """Registers the type whose runs are noted; returns a function that enqueues one job."""

    @app.job
    def noted(index: int, duration_ms: float = 0) -> None:
        pass

    return noted.enqueue


def spaced(number: int, act: Callable[[int], object]) -> tuple[list[int], list[float]]:
    """Calls act(index) at a fixed spacing; returns when each began (monotonic ns), and how long each took (ms)."""
    begun_ns, took_ms = [], []
    start = time.monotonic()
    for index in range(number):
        time.sleep(max(0.0, start + index * _SPACING_S - time.monotonic()))
        begun_ns.append(time.monotonic_ns())
        act(index)
        took_ms.append((time.monotonic_ns() - begun_ns[-1]) / 1e6)
    return begun_ns, took_ms


class Latency(Row):
    """One job every 5 ms on an idle queue: from the call of `enqueue` to the start of the handler in the worker."""

    name = "latency"
    title = "enqueue -> handler start in another process, idle queue"
    figures = (
        Figure("p50", "ms"),
        Figure("p99", "ms", at_most=2),
        Figure("enqueue_p50", "ms"),
        Figure("evalsha_p50", "ms"),
        Figure("handover_p50", "ms"),
        # Mean of the four calls that a job takes: enqueue, lease, ack, and a check for more jobs.
        Figure("script_mean", "us"),
        Figure("p50_vs_evalsha", "x", at_most=2),
        Figure("p50_vs_handover", "x"),
    )

    def measure(self, turn: int) -> dict[str, float]:
        number = self.setting.jobs(1000, 300)
        with self.setting.server() as server, tempfile.TemporaryDirectory() as directory:
            round_trip_ms = self._round_trip_ms(server, number)
            handover_ms = self._handover_ms(server, Path(directory, "handovers"), number)
            server.client.config_resetstat()
            delays_ms, enqueue_ms = self._delays_ms(server, Path(directory, "notes"), number)
            scripts = server.client.info("commandstats")["cmdstat_evalsha"]
        p50 = statistics.median(delays_ms)
        return {
            "p50": p50,
            "p99": statistics.quantiles(delays_ms, n=100)[98],
            "enqueue_p50": enqueue_ms,
            "evalsha_p50": round_trip_ms,
            "handover_p50": handover_ms,
            "script_mean": scripts["usec_per_call"],
            "p50_vs_evalsha": p50 / round_trip_ms,
            "p50_vs_handover": p50 / handover_ms,
        }

    def _delays_ms(self, server: BenchServer, path: Path, number: int) -> tuple[list[float], float]:
        notes = Notes.create(path, number)
        with BenchWorker(server, environment={VARIABLE: str(path)}):
            app = FastJobs(server.url)
            begun_ns, enqueue_ms = spaced(number, noted_type(app))
            app.close()
            wait_until(notes.complete, _TIMEOUT_S, "all jobs have run")
        return notes.delays_ms(begun_ns), statistics.median(enqueue_ms)

    def _handover_ms(self, server: BenchServer, path: Path, number: int) -> float:
        """Median of the least time it takes to start something in a thread of another process."""
        notes, hints = Notes.create(path, number), Hints(server.client)
        command = [sys.executable, "-m", "bench.handover", server.socket, str(number)]
        environment = os.environ | {VARIABLE: str(path)}
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as other:
            try:
                assert other.stdout is not None
                other.stdout.readline()
                begun_ns, _ = spaced(number, lambda _: hints.send())
                wait_until(notes.complete, _TIMEOUT_S, "all hints have arrived")
            finally:
                other.kill()
        return statistics.median(notes.delays_ms(begun_ns))

    def _round_trip_ms(self, server: BenchServer, number: int) -> float:
        """Median round trip of the smallest script there is."""
        sha = server.client.script_load("return 1")
        _, took_ms = spaced(number, lambda _: server.client.evalsha(sha, 0))
        return statistics.median(took_ms)


class Start(Row):
    """From starting `fastjobs-worker` to its first job."""

    name = "start"
    title = "start of fastjobs-worker to its first job"
    figures = (Figure("seconds", "s", at_most=0.5),)

    def measure(self, turn: int) -> dict[str, float]:
        with self.setting.server() as server, tempfile.TemporaryDirectory() as directory:
            notes = Notes.create(Path(directory, "notes"), 1)
            app = FastJobs(server.url)
            noted_type(app)(0)
            app.close()
            environment = os.environ | {"FASTJOBS_URL": server.url, VARIABLE: str(notes.path)}
            begun_ns = time.monotonic_ns()
            worker = subprocess.Popen(
                worker_command("-p", 1), cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            try:
                wait_until(lambda: notes.read()[0].started_ns, _TIMEOUT_S, "the first job has run")
            finally:
                worker.terminate()
                worker.wait(_TIMEOUT_S)
            return {"seconds": (notes.read()[0].started_ns - begun_ns) / 1e9}
