"""Memory of a queued job in the server, and of a worker's process in the machine."""

from __future__ import annotations

import subprocess
import sys

from bench.payload import arguments, payloads
from bench.rows.drain import enqueue_reference
from bench.rows.enqueue import reference_type
from bench.rows.row import Figure, Row
from bench.server import BenchServer
from bench.worker import ROOT, BenchWorker
from fastjobs import FastJobs

_MIB = 1 << 20


class ServerMemory(Row):
    """Memory of the server per queued job."""

    name = "server_memory"
    title = "server memory per queued job"
    figures = (
        Figure("compressed", "bytes", at_most=15),
        Figure("plain", "bytes"),
        Figure("plain_over_payload", "bytes", at_most=12),
        Figure("one_by_one", "bytes", at_most=235),
        # Parts of it: the job by its id, and its place in line.
        Figure("of_which_job", "bytes"),
        Figure("of_which_place", "bytes"),
    )
    max_rounds = 3

    def prepare(self) -> None:
        self._items = arguments(self.setting.jobs(1_000_000, 300_000))
        self._singles = self.setting.jobs(100_000, 20_000)
        sizes = [len(payload) for payload in payloads(len(self._items))]
        self._payload_size = sum(sizes) / len(sizes)

    def measure(self, turn: int) -> dict[str, float]:
        compressed = self._bulk()
        plain = self._bulk(compress_min_bytes=2**53)
        return {
            "compressed": compressed,
            "plain": plain,
            "plain_over_payload": plain - self._payload_size,
        } | self._one_by_one()

    def _bulk(self, **settings: int) -> float:
        with self.setting.server() as server:
            app = FastJobs(server.url, **settings)
            before = _loaded_bytes(server, app)
            reference_type(app).enqueue_many(self._items)
            app.close()
            _check_queued(server, len(self._items))
            return (server.memory_bytes() - before) / len(self._items)

    def _one_by_one(self) -> dict[str, float]:
        with self.setting.server() as server:
            app = FastJobs(server.url)
            before = _loaded_bytes(server, app)
            welcome = reference_type(app)
            for item in self._items[: self._singles]:
                welcome.enqueue(item["user_id"], email=item["email"], template=item["template"])
            app.close()
            _check_queued(server, self._singles)
            return {
                "one_by_one": (server.memory_bytes() - before) / self._singles,
                "of_which_job": server.key_bytes(server.keys.chunks) / self._singles,
                "of_which_place": server.key_bytes(server.keys.ready) / self._singles,
            }


def _loaded_bytes(server: BenchServer, app: FastJobs) -> int:
    """Memory of the server once it knows the scripts, which belong to no job."""
    app.jobs.counts()
    return server.memory_bytes()


def _check_queued(server: BenchServer, number: int) -> None:
    if server.stat("queued") != number:
        raise RuntimeError(f"{server.stat('queued')} of {number} jobs are queued")


class WorkerMemory(Row):
    """Memory of a worker's process: how much, and whether it grows."""

    name = "worker_memory"
    title = "memory of a worker's process"
    figures = (
        Figure("over_bare", "MiB", at_most=40),
        # The largest size in the second half of the run over the largest in the first.
        Figure("growth", "MiB", at_most=4),
        Figure("rss", "MiB"),
        Figure("bare", "MiB"),
    )
    max_rounds = 2

    def prepare(self) -> None:
        self._items = arguments(self.setting.jobs(1_000_000, 200_000))

    def measure(self, turn: int) -> dict[str, float]:
        bare_mib = self._bare_mib()
        with self.setting.server() as server, BenchWorker(server) as worker:
            (process,) = worker.children()
            sizes = []
            for _ in range(10):
                server.hold()
                enqueue_reference(server.url, self._items)
                worker.drain_s(len(self._items))
                sizes.append(process.memory_info().rss / _MIB)
        return {
            "over_bare": max(sizes) - bare_mib,
            "growth": max(sizes[5:]) - max(sizes[:5]),
            "rss": max(sizes),
            "bare": bare_mib,
        }

    def _bare_mib(self) -> float:
        """An interpreter that has imported the app and does nothing."""
        code = "import bench.app, psutil; print(psutil.Process().memory_info().rss)"
        output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True).stdout
        return int(output) / _MIB
