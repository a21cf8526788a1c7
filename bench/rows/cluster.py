"""What a cluster costs, and what partitions of a queue gain there; everything over TCP on loopback."""

from __future__ import annotations

import statistics
import time

from bench.nodes import Nodes, queue_apart
from bench.payload import arguments
from bench.rows.enqueue import reference_type
from bench.rows.row import Figure, Row
from bench.worker import BenchWorker
from fastjobs import FastJobs

#: Of the clusters that are measured.
MASTERS = 3
#: No worker takes from it, so that none is woken while enqueuing is measured.
_UNUSED_QUEUE = "unused"
_REPEATS = 7
#: Counters of partitions are asked for this seldom: each look goes to all masters.
_LOOK_S = 0.02


def enqueue_all(nodes: Nodes, items: list[dict[str, object]], queue: str) -> float:
    """Enqueues reference jobs in bulk; returns the seconds, without those for connecting."""
    app = FastJobs(nodes.url, partitions=nodes.partitions)
    welcome = reference_type(app).options(queue=queue)
    rest = items[nodes.partitions :]
    for item in items[: nodes.partitions]:
        welcome.enqueue_many([item])
    begun = time.perf_counter()
    welcome.enqueue_many(rest)
    seconds = time.perf_counter() - begun
    app.close()
    return seconds


class ClusterVsOne(Row):
    """One partition on a cluster of three masters against the same on a server by itself.

    Both stand side by side for the whole round and are measured in turns, so that they meet the same machine.
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
    )

    def prepare(self) -> None:
        self._items = arguments(self.setting.jobs(1_000_000, 300_000))

    def measure(self, turn: int) -> dict[str, float]:
        rates: dict[str, list[float]] = {name: [] for name in ("enqueue", "enqueue_one", "drain", "drain_one")}
        number = len(self._items)
        with (
            Nodes(self.setting.binary, MASTERS) as cluster,
            Nodes(self.setting.binary) as one,
            BenchWorker(cluster) as cluster_worker,
            BenchWorker(one) as worker,
        ):
            sides = [("", cluster, cluster_worker), ("_one", one, worker)]
            for repeat in range(_REPEATS):
                for side, nodes, its_worker in sides if (turn + repeat) % 2 == 0 else sides[::-1]:
                    rates[f"enqueue{side}"].append((number - 1) / enqueue_all(nodes, self._items, _UNUSED_QUEUE))
                    nodes.hold()
                    enqueue_all(nodes, self._items, nodes.queue)
                    rates[f"drain{side}"].append(number / its_worker.drain_s(number))
        values = {name: statistics.median(found) for name, found in rates.items()}
        for name in ("enqueue", "drain"):
            pairs = zip(rates[name], rates[f"{name}_one"], strict=True)
            values[f"{name}_ratio"] = statistics.median(there / here for there, here in pairs)
        return values


class Partitions(Row):
    """A queue of 1, 2, 4 and 8 partitions on three masters: what a job costs them, and which of them pay.

    The first three partitions are on one master each; where the others fall is left to their names.
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
            enqueue_all(nodes, self._items, nodes.queue)
            stored_s = nodes.cpu_s()
            held = nodes.memory_bytes() - held
            # Started only now: what is enqueued would wake it in vain.
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
