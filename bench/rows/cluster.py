"""The cost of a cluster, and the gain of partitions there; everything over TCP on loopback."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import closing

from bench.nodes import Nodes, queue_apart
from bench.payload import arguments
from bench.rows.enqueue import reference_type
from bench.rows.row import Figure, Row
from bench.worker import BenchWorker
from fastjobs import FastJobs

#: Masters of the measured clusters.
MASTERS = 3
#: No worker serves this queue, so none is woken while enqueuing is measured.
_UNUSED_QUEUE = "unused"
_REPEATS = 7
#: Counters of partitions are read only this often: each look goes to all masters.
_LOOK_S = 0.02


class _Side:
    """One side of a comparison: servers with one partition, a connected producer, and a worker.

    Args:
        nodes: the servers.
        worker: an idle worker of one process.
        items: the jobs to enqueue.
    """

    def __init__(self, nodes: Nodes, worker: BenchWorker, items: list[dict[str, object]]) -> None:
        self._nodes = nodes
        self._worker = worker
        self._items = items
        self._app = FastJobs(nodes.url)
        self._welcome = reference_type(self._app)
        self._welcome.options(queue=_UNUSED_QUEUE).enqueue_many(items)
        #: Jobs per second, and processor seconds of all who take part.
        self.rates: dict[str, list[float]] = {"enqueue": [], "drain": []}
        self.used_s = {"enqueue": 0.0, "drain": 0.0}

    def measure(self) -> None:
        """Enqueues all jobs where no worker is woken, and lets as many be drained."""
        self._time("enqueue", time.process_time, lambda: self._enqueue(_UNUSED_QUEUE))
        self._nodes.hold()
        self._enqueue(self._nodes.queue)
        self._time("drain", self._worker.cpu_s, lambda: self._worker.drain_s(len(self._items)))

    def close(self) -> None:
        """Closes the producer."""
        self._app.close()

    def _enqueue(self, queue: str) -> float:
        begun = time.perf_counter()
        self._welcome.options(queue=queue).enqueue_many(self._items)
        return time.perf_counter() - begun

    def _time(self, name: str, cpu_s: Callable[[], float], act: Callable[[], float]) -> None:
        before_s = cpu_s() + sum(self._nodes.cpu_s())
        self.rates[name].append(len(self._items) / act())
        self.used_s[name] += cpu_s() + sum(self._nodes.cpu_s()) - before_s


class ClusterVsOne(Row):
    """One partition on a cluster of three masters, compared with a single server.

    Both run side by side for the whole round and are measured in turns, under the same conditions.
    """

    name = "cluster"
    title = "one partition, cluster against a single server, TCP"
    figures = (
        Figure("enqueue", "jobs/s"),
        Figure("enqueue_one", "jobs/s"),
        Figure("enqueue_ratio", "x", at_least=0.9),
        Figure("drain", "jobs/s"),
        Figure("drain_one", "jobs/s"),
        Figure("drain_ratio", "x", at_least=0.9),
        # Processor time per job of all processes involved: other work on the machine changes it less than rates.
        Figure("enqueue_cpu_ratio", "x", at_most=1.1),
        Figure("drain_cpu_ratio", "x", at_most=1.1),
    )

    def prepare(self) -> None:
        self._items = arguments(self.setting.jobs(1_000_000, 300_000))

    def measure(self, turn: int) -> dict[str, float]:
        with (
            Nodes(self.setting.binary, MASTERS) as nodes,
            Nodes(self.setting.binary) as node,
            BenchWorker(nodes) as cluster_worker,
            BenchWorker(node) as worker,
            closing(_Side(nodes, cluster_worker, self._items)) as cluster,
            closing(_Side(node, worker, self._items)) as one,
        ):
            for repeat in range(_REPEATS):
                for side in (cluster, one) if (turn + repeat) % 2 == 0 else (one, cluster):
                    side.measure()
        values: dict[str, float] = {}
        for name in ("enqueue", "drain"):
            pairs = zip(cluster.rates[name], one.rates[name], strict=True)
            values[name] = statistics.median(cluster.rates[name])
            values[f"{name}_one"] = statistics.median(one.rates[name])
            values[f"{name}_ratio"] = statistics.median(there / here for there, here in pairs)
            values[f"{name}_cpu_ratio"] = cluster.used_s[name] / one.used_s[name]
        return values


class Partitions(Row):
    """A queue of 1, 2, 4 and 8 partitions on three masters: the cost of a job to each master.

    The first three partitions are on one master each; the names of the others decide where they are.
    """

    name = "partitions"
    title = "partitions on a cluster of three masters, -p 2"
    counts = (1, 2, 4, 8)
    figures = tuple(
        figure
        for count in counts
        for figure in (
            Figure(f"p{count}_cpu", "us"),
            Figure(f"p{count}_first", "us"),
            Figure(f"p{count}_second", "us"),
            Figure(f"p{count}_third", "us"),
            Figure(f"p{count}_bytes", "bytes"),
            Figure(f"p{count}_drain", "jobs/s"),
        )
    )
    max_rounds = 3

    def prepare(self) -> None:
        self._items = arguments(self.setting.jobs(2_000_000, 500_000))
        self._queue = queue_apart(MASTERS)

    def measure(self, turn: int) -> dict[str, float]:
        values: dict[str, float] = {}
        for count in self.counts if turn % 2 == 0 else self.counts[::-1]:
            values |= {f"p{count}_{name}": value for name, value in self._measure(count).items()}
        return values

    def _measure(self, partitions: int) -> dict[str, float]:
        number = len(self._items)
        with Nodes(self.setting.binary, MASTERS, self._queue, partitions) as nodes:
            nodes.hold()
            held, before_s = nodes.memory_bytes(), nodes.cpu_s()
            app = FastJobs(nodes.url, partitions=partitions)
            reference_type(app).options(queue=self._queue).enqueue_many(self._items)
            app.close()
            stored_s = nodes.cpu_s()
            held = nodes.memory_bytes() - held
            # Started only now: enqueued jobs would wake it in vain.
            with BenchWorker(nodes, 2) as worker:
                ready_s = nodes.cpu_s()
                drain_s = worker.drain_s(number, _LOOK_S)
                after_s = nodes.cpu_s()
        steps = zip(before_s, stored_s, ready_s, after_s, strict=True)
        micros = [((stored - before) + (after - ready)) * 1e6 / number for before, stored, ready, after in steps]
        first, second, third = sorted(micros, reverse=True)
        return {
            "cpu": sum(micros),
            "first": first,
            "second": second,
            "third": third,
            "bytes": held / number,
            "drain": number / drain_s,
        }
