"""Reads the counters that only grow, and turns two looks at them into rates."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from fastjobs.model.partitions import queue_of
from fastjobs.store.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """How many jobs of a queue, or of several together, did what since the queue was first used."""

    enqueued: int = 0
    finished: int = 0
    failed: int = 0
    cancelled: int = 0
    #: Runs that raised and will be followed by another.
    retried: int = 0
    #: Jobs that came back from workers that died.
    redelivered: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(**{name: getattr(self, name) + getattr(other, name) for name in TOTAL_NAMES})


TOTAL_NAMES: tuple[str, ...] = tuple(item.name for item in fields(Totals))


@dataclass(frozen=True, slots=True)
class Look:
    """The totals of some queues at one moment.

    Attributes:
        at_s: when, by this process's monotonic clock.
        queues: queue -> its totals.
    """

    at_s: float
    queues: dict[str, Totals]

    @property
    def sum(self) -> Totals:
        """All queues together."""
        return sum(self.queues.values(), Totals())

    def rates_since(self, before: Look) -> dict[str, float]:
        """Returns jobs per second since an earlier look, by name of the total; 0 for what did not grow."""
        passed_s = self.at_s - before.at_s
        now, then = self.sum, before.sum
        grown = {name: max(0, getattr(now, name) - getattr(then, name)) for name in TOTAL_NAMES}
        return {name: jobs / passed_s if passed_s > 0 else 0.0 for name, jobs in grown.items()}


def look(store: Callable[[], Store], queues: Sequence[str]) -> Look:
    """Reads the totals of queues; O(1) per queue.

    Args:
        store: gives the calling thread's store.
        queues: which; a queue never used has totals of 0.
    """
    ours = store()
    found = dict.fromkeys(queues, Totals())
    partitions = [name for names in ours.partitions(queues).values() for name in names] if queues else []
    batch = ours.batch()
    replies = [batch.counters(name, (f"{total}_total" for total in TOTAL_NAMES)) for name in partitions]
    batch.run()
    for name, reply in zip(partitions, replies, strict=True):
        found[queue_of(name)] += Totals(**dict(zip(TOTAL_NAMES, reply.value, strict=True)))
    return Look(time.monotonic(), found)
