"""A chaos run from start to verdict."""

from __future__ import annotations

import time
from collections import Counter
from statistics import quantiles

from fastjobs import Status
from tests.chaos.gauges import Gauges
from tests.chaos.nemesis import Nemesis
from tests.chaos.producers import Producers
from tests.chaos.verdict import Ended, Evidence, Verdict, judge
from tests.chaos.world import World, refused_acks, wait_drained
from tests.harness.snapshot import check_invariants, take_snapshot
from tests.harness.worker import tracebacks

#: Seconds in which everything has to be done once all is healed.
DRAIN_S = 60.0
#: Seconds that a job which was stored and due may wait for its first run; longer is called stuck.
STUCK_S = 45.0
#: Seconds until the next enqueue is accepted when another server has to take over, amidst all other faults; without
#: those it has to be faster, see `tests/distributed`.
RESUMED_S = 15.0
#: What the servers may hold more, once its history is cleared, than before there was any job.
_MOST_LEFT_MIB = 16.0


def run_chaos(world: World, seconds: float, seed: int) -> tuple[Verdict, str]:
    """Lets producers, workers and the nemesis loose; returns the verdict and a report."""
    for _ in range(2):
        world.start_worker().worker.wait_ready(world.processes)
    memory_before = world.topology.used_memory()
    gauges = Gauges(world)
    producers = Producers(world.apps, world.journal, world.waiting, seed)
    nemesis = Nemesis(world, seed)
    began = time.monotonic()
    try:
        producers.start(3)
        nemesis.run(seconds)
    finally:
        nemesis.heal()
        producers.stop()
        gauges.stop()
        for hurt in world.hurts:
            world.journal.write("hurt", hurt.began_ns, hurt.ended_ns, hurt.what.replace(" ", "_"), *sorted(hurt.pids))
    harmed_s = time.monotonic() - began
    evidence = gather(world, producers)
    evidence.found += gauges.problems()
    evidence.found += _memory_left(world, memory_before)
    verdict = judge(evidence)
    if verdict.waits_s and max(verdict.waits_s) > STUCK_S:
        verdict.problems.append(f"a job waited {max(verdict.waits_s):.1f} s for its first run")
    outages_s = verdict.resumptions_s.get("fire", [])
    if outages_s and max(outages_s) > RESUMED_S:
        verdict.problems.append(f"nothing was accepted for {max(outages_s):.1f} s after a change of servers")
    report = _report(world, verdict, nemesis.done, harmed_s, gauges.summary())
    return verdict, report


def gather(world: World, producers: Producers, drain_s: float = DRAIN_S) -> Evidence:
    """Waits until all is done and collects what there is to judge by; ends the workers."""
    found = [f"a producer's call ended in {error}" for error in producers.errors]
    if wait_drained(world, drain_s) is None:
        found.append(f"not drained within {drain_s:.0f} s of quiet: {world.status_counts()}")
    codes = world.stop_workers()
    if any(codes):
        found.append(f"workers ended with {codes}")
    for name, log in world.logs().items():
        found += [f"a traceback in {name}, after: {line}" for line in tracebacks(log)[:1]]
    for partition, keys in world.topology.keys.items():
        with world.topology.owner(keys.stats).client() as client:
            try:
                check_invariants(take_snapshot(client, keys))
            except AssertionError as error:
                found.append(f"queue {partition}: {str(error)[:300]}")
    return Evidence(
        calls=producers.calls,
        history=world.journal.read(),
        ended=_ended(world),
        hurts=world.hurts,
        threads=world.threads,
        lease_ms=world.lease_ms,
        cancel_asked=producers.cancel_asked,
        cancelled_ns=producers.cancelled_ns,
        found=found,
    )


def _ended(world: World) -> dict[int, Ended]:
    """The jobs that have failed or were cancelled, by their key."""
    found = {}
    for status in (Status.FAILED, Status.CANCELLED):
        cursor = None
        while True:
            page = world.looking_app.jobs.list(status, limit=500, cursor=cursor)
            for job in page.jobs:
                if job.args:
                    found[job.args[0]] = Ended(status.value, tuple(error.type for error in job.errors))
            cursor = page.cursor
            if cursor is None:
                break
    return found


def _memory_left(world: World, before: int) -> list[str]:
    """Whether the servers hold more than before when the history of all jobs is cleared."""
    for keys in world.topology.keys.values():
        with world.topology.owner(keys.stats).client() as client:
            client.delete(*(getattr(keys, name) for name in type(keys).__slots__))
    left_mib = (world.topology.used_memory() - before) / 2**20
    return [f"the servers hold {left_mib:.1f} MiB more than before"] if left_mib > _MOST_LEFT_MIB else []


def _spread(values_s: list[float]) -> str:
    if len(values_s) < 2:
        return ", ".join(f"{value:.2f} s" for value in values_s) or "none"
    cuts = quantiles(values_s, n=100, method="inclusive")
    parts = f"half within {cuts[49]:.2f} s, 99 in 100 within {cuts[98]:.2f} s, all within {max(values_s):.2f} s"
    return f"{len(values_s)}: {parts}"


def _report(world: World, verdict: Verdict, done: Counter[str], harmed_s: float, gauges: str) -> str:
    faults = ", ".join(f"{what} {number}" for what, number in sorted(done.items()))
    lines = [
        f"faults in {harmed_s:.0f} s: {faults}",
        f"jobs: {verdict.jobs} asked for, {verdict.executed} executed, {verdict.failed} failed, "
        f"{verdict.cancelled} cancelled; {verdict.refused} refused, {verdict.unknown} in doubt",
        f"runs too many: {verdict.duplicates}, explained by the faults: up to {verdict.bound}; "
        f"refused acks told by workers: {refused_acks(world.logs())}",
        f"waits for the first run: {_spread(verdict.waits_s)}",
        f"from the loss of a process to the next run of what it was running: {_spread(verdict.recoveries_s)}",
        gauges,
    ]
    if world.topology.replicas:
        lines.append(
            f"enqueued with `fire` and confirmed around a promotion: {verdict.exposed}, of those lost: {verdict.lost}"
        )
    for durability, seconds in sorted(verdict.resumptions_s.items()):
        lines.append(f"from a change of servers to the next enqueue accepted with `{durability}`: {_spread(seconds)}")
    return "\n".join(lines)
