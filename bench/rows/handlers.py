"""Handlers that sleep, compute, or take mixed times, compared with the ideal."""

from __future__ import annotations

import tempfile
from itertools import groupby
from pathlib import Path
from typing import Any

from bench import bare
from bench.notes import VARIABLE, Note, Notes
from bench.rows.enqueue import alternately
from bench.rows.row import Figure, Row
from bench.server import BenchServer
from bench.worker import BenchWorker
from fastjobs import FastJobs


def enqueue_named(server: BenchServer, name: str, items: list[Any]) -> None:
    """Enqueues jobs of a type of `bench.app` without importing the app."""
    app = FastJobs(server.url)

    def handler(*_: object) -> None:
        pass

    app.job(name=name)(handler).enqueue_many(items)
    app.close()


class Sleepers(Row):
    """Many handlers that wait at the same time."""

    name = "sleepers"
    title = "handlers that sleep 10 ms, -c 100"
    figures = (Figure("rate", "jobs/s"), Figure("vs_ideal", "x", at_least=0.9))
    _CONCURRENCY, _SLEEP_MS = 100, 10

    def measure(self, turn: int) -> dict[str, float]:
        number = self.setting.jobs(30_000, 10_000)
        with self.setting.server() as server, BenchWorker(server, 1, self._CONCURRENCY) as worker:
            server.hold()
            enqueue_named(server, "pause", [self._SLEEP_MS] * number)
            rate = number / worker.drain_s(number)
        return {"rate": rate, "vs_ideal": rate / (self._CONCURRENCY * 1000 / self._SLEEP_MS)}


class CpuHandlers(Row):
    """Handlers that compute for about a millisecond, on two processes."""

    name = "cpu_handlers"
    title = "CPU handlers of 1 ms, -p 2"
    figures = (
        Figure("rate", "jobs/s"),
        Figure("bare", "jobs/s"),
        Figure("vs_bare", "x", at_least=0.97),
    )

    def prepare(self) -> None:
        self._rounds = bare.rounds_for_ms(1)

    def measure(self, turn: int) -> dict[str, float]:
        number = self.setting.jobs(16_000, 3000)
        rates = alternately(
            turn,
            {
                "bare": lambda: number / bare.run("burn", number // 2, self._rounds, processes=2),
                "rate": lambda: self._drain(number),
            },
        )
        return rates | {"vs_bare": rates["rate"] / rates["bare"]}

    def _drain(self, number: int) -> float:
        with self.setting.server() as server, BenchWorker(server, 2) as worker:
            server.hold()
            enqueue_named(server, "burn", [self._rounds] * number)
            return number / worker.drain_s(number, every_s=0.02)


class Mixed(Row):
    """One job in a hundred takes 200 ms; jobs behind it must not wait for it while a process is idle."""

    name = "mixed"
    title = "mixed durations: 1 in 100 takes 200 ms, -p 2"
    figures = (
        Figure("total_vs_ideal", "x", at_most=1.1),
        Figure("longest_idle", "ms", at_most=100),
    )
    _EVERY, _SLOW_MS, _PROCESSES = 100, 200, 2

    def measure(self, turn: int) -> dict[str, float]:
        number = self.setting.jobs(4000, 2000)
        items = [(index, self._SLOW_MS if index % self._EVERY == self._EVERY // 2 else 0) for index in range(number)]
        with self.setting.server() as server, tempfile.TemporaryDirectory() as directory:
            notes = Notes.create(Path(directory, "notes"), number)
            with BenchWorker(server, self._PROCESSES, environment={VARIABLE: str(notes.path)}) as worker:
                server.hold()
                enqueue_named(server, "noted", items)
                total_s = worker.drain_s(number)
            runs = notes.read()
        work_s = sum(run.ended_ns - run.started_ns for run in runs) / 1e9
        return {"total_vs_ideal": total_s / (work_s / self._PROCESSES), "longest_idle": longest_idle_ms(runs)}


def longest_idle_ms(runs: list[Note]) -> float:
    """Returns the longest time in which a process ran nothing although jobs were still unstarted."""
    last_start_ns = max(run.started_ns for run in runs)
    by_process = sorted(runs, key=lambda run: (run.pid, run.started_ns))
    longest_ns = 0
    for _, group in groupby(by_process, key=lambda run: run.pid):
        own = list(group)
        starts = [run.started_ns for run in own[1:]] + [last_start_ns]
        longest_ns = max(longest_ns, *(start - run.ended_ns for run, start in zip(own, starts, strict=True)))
    return longest_ns / 1e6
