"""The load that servers and clusters carry: measures the constants of a model, and compares its predictions.

`python -m bench.scaling` runs the rows that give the constants, and prints their table, the comparison with
measurements, and the load that some sizes of servers carry by the model. `docs/scaling.md` explains the model.
"""

from __future__ import annotations

import argparse
import bisect
import statistics
import sys
from collections import Counter
from dataclasses import dataclass

from bench.nodes import first_slots, queue_apart
from bench.report import Result, aligned, machine, save, summary, table
from bench.rows import SCALING, Setting
from bench.rows.cluster import MASTERS, Partitions
from bench.rows.idle import Idle
from bench.run import measure
from bench.server import NAMESPACE, server_binary
from fastjobs.config import Config
from fastjobs.server.cluster import slot_of
from fastjobs.store.keys import queue_keys
from fastjobs.worker.process.waker import WAIT_S

_ROUNDS, _QUICK_ROUNDS = 3, 1
#: The share of a server's core that may be busy on average: the rest is for peaks, rewrites of the log, and look-ups.
_BUSY = 0.5
#: Number of queue names over which the spread of partitions is averaged.
_NAMES = 1000
#: The servers' default limit of connections (`maxclients`).
_MAX_CLIENTS = 10_000
_GIB = 1 << 30


@dataclass(frozen=True)
class Constants:
    """The costs of one job, one queued job and one idle worker of one process to a server."""

    #: Processor time of a job's whole life, us: in bulk; single, waking an idle worker; single in a backlog.
    bulk_us: float
    waking_us: float
    backlog_us: float
    #: The part of `enqueue` in the last one.
    enqueue_us: float
    #: The additional cost of a hint while a thousand clients wait for it instead of ten.
    crowd_us: float
    #: Memory of a queued job.
    bulk_bytes: float
    single_bytes: float
    #: Per second and idle worker; the processor time is that of one among a hundred.
    idle_cpu_ms: float
    idle_commands: float
    idle_log_bytes: float


@dataclass(frozen=True)
class Comparison:
    """A prediction and its measurement."""

    what: str
    unit: str
    predicted: float
    measured: float


def idle_commands(processes: int, partitions: int, *, cluster: bool, lease_s: float) -> float:
    """Returns how many commands an idle worker of one queue sends per second."""
    waits = partitions if cluster else 1
    process = (waits + partitions) / WAIT_S + partitions / lease_s
    # A look at the recurring jobs, a heartbeat every sixth of a lease, a check for dead sessions every quarter.
    supervisor = 2.0 + (partitions + 3) / (lease_s / 6) + 2 * partitions / (lease_s / 4)
    return processes * process + supervisor


def idle_connections(processes: int, partitions: int, masters: int | None) -> int:
    """Returns how many connections an idle worker of one queue has open; masters None = no cluster."""
    if masters is None:
        return 2 * processes + 1
    # On a cluster: one to each master in use, and one per partition to wait on.
    return processes * (masters + partitions) + masters


def busiest_share(masters: int, partitions: int) -> float:
    """Returns the share of a queue's partitions on the master that has most of them, on average over names."""
    return statistics.fmean(most_on_one(f"queue{number}", masters, partitions) for number in range(_NAMES)) / partitions


def most_on_one(queue: str, masters: int, partitions: int) -> int:
    """Returns how many partitions of a queue are on the master that has most, with slots dealt evenly."""
    starts = first_slots(masters)
    slots = (slot_of(queue_keys(NAMESPACE, queue, partition).stats) for partition in range(partitions))
    return max(Counter(bisect.bisect_right(starts, slot) for slot in slots).values())


def constants_of(results: dict[str, Result]) -> Constants:
    """Returns the medians that are the constants of the model."""
    return Constants(
        bulk_us=results["partitions"].median("p2_cpu"),
        waking_us=results["singles"].median("trickle"),
        backlog_us=results["singles"].median("enqueue") + results["singles"].median("drain"),
        enqueue_us=results["singles"].median("enqueue"),
        crowd_us=results["waiters"].median("n1000") - results["waiters"].median("n10"),
        bulk_bytes=results["partitions"].median("p2_bytes"),
        single_bytes=results["singles"].median("bytes"),
        idle_cpu_ms=results["thousand"].median("hundred_cpu") / 100,
        idle_commands=results["idle"].median("commands"),
        idle_log_bytes=results["idle"].median("log"),
    )


def compare(results: dict[str, Result], known: Constants) -> list[Comparison]:
    """Returns the predictions for measurements that are not constants of the model."""
    lease_s = Config().lease_ms / 1000
    found: list[Comparison] = []

    def add(what: str, unit: str, predicted: float, row: str, figure: str) -> None:
        found.append(Comparison(what, unit, predicted, results[row].median(figure)))

    queue = queue_apart(MASTERS)
    for count in Partitions.counts:
        share = most_on_one(queue, MASTERS, count) / count
        name = f"{count} partition{'s' if count > 1 else ''}"
        # The constants are those of two partitions.
        if count != 2:
            add(f"{name}: CPU per bulk job, all masters", "us", known.bulk_us, "partitions", f"p{count}_cpu")
            add(f"{name}: memory per queued job", "bytes", known.bulk_bytes, "partitions", f"p{count}_bytes")
        add(f"{name}: CPU of the busiest master", "us", known.bulk_us * share, "partitions", f"p{count}_first")
    add("an enqueue of one job on a busy server: CPU", "us", known.enqueue_us, "singles", "loaded_enqueue")
    add("an idle worker: commands", "/s", idle_commands(1, 1, cluster=False, lease_s=lease_s), "idle", "commands")
    wide = Idle.PARTITIONS
    commands = idle_commands(1, wide, cluster=True, lease_s=lease_s)
    add(f"the same, {wide} partitions on a cluster", "/s", commands, "idle", "cluster_commands")
    connections = idle_connections(1, wide, MASTERS)
    add(f"connections, {wide} partitions on a cluster", "", connections, "idle", "cluster_connections")
    add("1,000 idle workers: connections", "", 1000 * idle_connections(1, 1, None), "thousand", "connections")
    add("1,000 idle workers: commands", "/s", 1000 * known.idle_commands, "thousand", "commands")
    add("1,000 idle workers: CPU", "ms/s", 1000 * known.idle_cpu_ms, "thousand", "cpu")
    add("1,000 idle workers: log", "bytes/s", 1000 * known.idle_log_bytes, "thousand", "log")
    add("1,000 idle workers: CPU per single job", "us", known.waking_us + known.crowd_us, "thousand", "job_cpu")
    return found


def comparison_table(found: list[Comparison]) -> str:
    """Returns a Markdown table."""
    lines = [["what", "unit", "predicted", "measured", "measured / predicted"]]
    for item in found:
        numbers = (f"{item.predicted:.4g}", f"{item.measured:.4g}", f"{item.measured / item.predicted:.2f}")
        lines.append([item.what, item.unit, *numbers])
    return aligned(lines)


def capacity_table(known: Constants) -> str:
    """Returns the load that servers carry by the model, with the busiest core half busy, as a Markdown table."""
    lines = [
        [
            "masters",
            "partitions",
            "busiest has",
            "bulk jobs/s",
            "or singles in a backlog/s",
            "or singles waking/s",
            "or idle workers",
            "queued per GiB",
        ]
    ]
    for masters, partitions in ((None, 1), (3, 3), (3, 12), (6, 24)):
        share = busiest_share(masters or 1, partitions)
        budget_us = 1e6 * _BUSY / share
        lines.append(
            [
                str(masters or "no cluster"),
                str(partitions),
                f"{share:.0%}",
                f"{budget_us / known.bulk_us / 1e6:.1f} M",
                f"{budget_us / known.backlog_us / 1e3:.1f} k",
                f"{budget_us / known.waking_us / 1e3:.1f} k",
                f"{idle_workers(known, masters, partitions, share):.0f}",
                f"{_GIB / known.bulk_bytes / 1e6:.0f} M or {_GIB / known.single_bytes / 1e6:.1f} M",
            ]
        )
    return aligned(lines)


def idle_workers(known: Constants, masters: int | None, partitions: int, share: float) -> float:
    """Returns how many idle workers of one process fill the busiest server: half its core, or all its connections."""
    cluster = masters is not None
    commands = idle_commands(1, partitions, cluster=cluster, lease_s=Config().lease_ms / 1000)
    cpu_ms = known.idle_cpu_ms * commands / known.idle_commands * share
    # On a cluster: process and supervisor have one to each master, and the process one per partition to wait on.
    connections = 2 + partitions * share if cluster else idle_connections(1, partitions, None)
    return min(1000 * _BUSY / cpu_ms, _MAX_CLIENTS / connections)


def main() -> int:
    """The command; returns its exit code: 0 when every row could be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer jobs, one round: some six minutes")
    parser.add_argument("--rounds", type=int, help=f"rounds [default: {_ROUNDS}, quick {_QUICK_ROUNDS}]")
    parser.add_argument("--server", default="valkey", help="valkey (the embedded one), redis (on PATH) or a path")
    options = parser.parse_args()
    setting = Setting(server_binary(options.server), options.quick)
    rounds = options.rounds or (_QUICK_ROUNDS if options.quick else _ROUNDS)
    results = measure(SCALING, setting, rounds)
    about = machine(setting, rounds)
    print(summary(about))
    print(table(results))
    missing = [result.row.name for result in results if result.failed or result.skipped]
    if missing:
        print(f"\nno model without {', '.join(missing)}")
    else:
        by_name = {result.row.name: result for result in results}
        known = constants_of(by_name)
        print("\n" + comparison_table(compare(by_name, known)))
        print("\n" + capacity_table(known))
    print("\n" + " and ".join(str(path) for path in save(results, about)))
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
