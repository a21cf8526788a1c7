"""How fast a worker drains a queue of jobs that do nothing, and what that costs the server."""

from __future__ import annotations

from bench import bare
from bench.payload import arguments
from bench.rows.enqueue import alternately, reference_type
from bench.rows.row import Figure, Row
from bench.worker import BenchWorker
from fastjobs import FastJobs


class Drain(Row):
    """One process compared with a bare loop, two processes compared with one.

    Workers begin with small leases until they know the cost of the jobs: the figures include that.
    """

    name = "drain"
    title = "drain of no-op jobs"
    figures = (
        Figure("p1", "jobs/s"),
        Figure("bare", "jobs/s"),
        Figure("p1_vs_bare", "x", at_least=0.65),
        Figure("p2", "jobs/s"),
        Figure("p2_vs_p1", "x", at_least=1.5),
    )

    def prepare(self) -> None:
        self._items = arguments(self.setting.jobs(2_000_000, 500_000))

    def measure(self, turn: int) -> dict[str, float]:
        number = len(self._items) // 2
        rates = alternately(
            turn,
            {
                "bare": lambda: number / bare.run("decode", number),
                "p1": lambda: self._drain(1),
                "p2": lambda: self._drain(2),
            },
        )
        return rates | {"p1_vs_bare": rates["p1"] / rates["bare"], "p2_vs_p1": rates["p2"] / rates["p1"]}

    def _drain(self, processes: int) -> float:
        with self.setting.server() as server, BenchWorker(server, processes) as worker:
            server.hold()
            enqueue_reference(server.url, self._items)
            return len(self._items) / worker.drain_s(len(self._items))


def enqueue_reference(url: str, items: list[dict[str, object]]) -> None:
    """Enqueues reference jobs in bulk."""
    app = FastJobs(url)
    reference_type(app).enqueue_many(items)
    app.close()


class ServerCpu(Row):
    """The server's processor time for the whole life of a job."""

    name = "server_cpu"
    title = "server CPU per job, whole life, bulk"
    figures = (
        Figure("per_job", "us", at_most=0.4),
        Figure("enqueue", "us"),
        Figure("drain", "us"),
    )

    def prepare(self) -> None:
        self._items = arguments(self.setting.jobs(1_000_000, 300_000))

    def measure(self, turn: int) -> dict[str, float]:
        with self.setting.server() as server, BenchWorker(server) as worker:
            server.hold()
            before_s = server.cpu_s()
            enqueue_reference(server.url, self._items)
            between_s = server.cpu_s()
            worker.drain_s(len(self._items))
            after_s = server.cpu_s()
        micros_per_job = 1e6 / len(self._items)
        return {
            "per_job": (after_s - before_s) * micros_per_job,
            "enqueue": (between_s - before_s) * micros_per_job,
            "drain": (after_s - between_s) * micros_per_job,
        }
