"""How fast jobs are enqueued: in bulk compared with pipelined LPUSH, one by one compared with SET."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from bench.payload import arguments, keywords, payloads
from bench.rows.row import Figure, Row
from bench.server import BenchServer
from fastjobs import FastJobs

#: Commands per round trip of the LPUSH loop; more do not make it faster.
_PIPELINE = 1000


def reference_type(app: FastJobs) -> Any:
    """Registers the reference job type with an app."""

    @app.job
    def welcome(user_id: int, *, email: str, template: str) -> None:
        pass

    return welcome


def alternately(turn: int, parts: dict[str, Callable[[], float]]) -> dict[str, float]:
    """Measures the parts one after the other, in reverse order in odd turns."""
    names = list(parts) if turn % 2 == 0 else list(parts)[::-1]
    return {name: parts[name]() for name in names}


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


class EnqueueMany(Row):
    """In bulk: one producer, jobs from a list."""

    name = "enqueue_many"
    title = "enqueue_many from a list, one producer"
    figures = (
        Figure("rate", "jobs/s", at_least=3e6),
        Figure("lpush", "jobs/s"),
        Figure("vs_lpush", "x", at_least=10),
    )

    def prepare(self) -> None:
        self._items = arguments(self.setting.jobs(1_000_000, 300_000))
        # The partner is linear, so a part of the jobs gives its rate. Its JSON is made beforehand.
        self._payloads = payloads(self.setting.jobs(200_000, 50_000))

    def measure(self, turn: int) -> dict[str, float]:
        with self.setting.server() as server:
            rates = alternately(turn, {"rate": lambda: self._enqueue(server), "lpush": lambda: self._lpush(server)})
        return rates | {"vs_lpush": rates["rate"] / rates["lpush"]}

    def _enqueue(self, server: BenchServer) -> float:
        app = FastJobs(server.url)
        welcome = reference_type(app)
        welcome.enqueue(**keywords(0))
        seconds = _seconds(lambda: welcome.enqueue_many(self._items))
        app.close()
        return len(self._items) / seconds

    def _lpush(self, server: BenchServer) -> float:
        return len(self._payloads) / _seconds(lambda: lpush_all(server, self._payloads))


def lpush_all(server: BenchServer, items: list[bytes]) -> None:
    """The raw ceiling of a queue with one entry per job."""
    for start in range(0, len(items), _PIPELINE):
        pipeline = server.client.pipeline(transaction=False)
        for item in items[start : start + _PIPELINE]:
            pipeline.lpush("list", item)
        pipeline.execute()


class EnqueueOne(Row):
    """One by one: one thread, one job per call."""

    name = "enqueue"
    title = "single enqueue, one thread"
    figures = (
        Figure("rate", "jobs/s"),
        Figure("set", "SET/s"),
        Figure("vs_set", "x", at_least=0.7),
    )

    def prepare(self) -> None:
        number = self.setting.jobs(30_000, 8_000)
        self._items = arguments(number)
        self._payloads = payloads(number)

    def measure(self, turn: int) -> dict[str, float]:
        with self.setting.server() as server:
            rates = alternately(turn, {"rate": lambda: self._enqueue(server), "set": lambda: self._set(server)})
        return rates | {"vs_set": rates["rate"] / rates["set"]}

    def _enqueue(self, server: BenchServer) -> float:
        app = FastJobs(server.url)
        enqueue = reference_type(app).enqueue
        enqueue(**keywords(0))

        def loop() -> None:
            for item in self._items:
                enqueue(item["user_id"], email=item["email"], template=item["template"])

        seconds = _seconds(loop)
        app.close()
        return len(self._items) / seconds

    def _set(self, server: BenchServer) -> float:
        store = server.client.set

        def loop(items: Iterable[bytes] = self._payloads) -> None:
            for index, item in enumerate(items):
                store(f"job:{index}", item)

        return len(self._payloads) / _seconds(loop)


class Buffered(Row):
    """One by one, gathered into chunks by `app.buffered()`."""

    name = "buffered"
    title = "app.buffered(): single enqueues, one thread"
    figures = (Figure("rate", "jobs/s", at_least=500e3),)

    def unavailable(self) -> str:
        return "" if hasattr(FastJobs, "buffered") else "this build has no app.buffered()"

    def prepare(self) -> None:
        self._items = arguments(self.setting.jobs(500_000, 100_000))

    def measure(self, turn: int) -> dict[str, float]:
        with self.setting.server() as server:
            app: Any = FastJobs(server.url)
            enqueue = reference_type(app).enqueue

            def loop() -> None:
                with app.buffered():
                    for item in self._items:
                        enqueue(item["user_id"], email=item["email"], template=item["template"])

            seconds = _seconds(loop)
            app.close()
            stored = server.stat("queued")
        if stored != len(self._items):
            raise RuntimeError(f"{stored} of {len(self._items)} jobs were stored")
        return {"rate": len(self._items) / seconds}
