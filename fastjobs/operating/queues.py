"""Pauses, clears, drains, forgets and measures one queue."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from fastjobs.model.names import check_key_part
from fastjobs.model.refs import read_ready
from fastjobs.model.status import Status
from fastjobs.model.times import seconds
from fastjobs.operating.forgetting import forget_partition
from fastjobs.store.store import Store

#: The oldest job is looked for in so many priorities, the highest ones first.
_MAX_PRIORITIES = 100
#: Seconds between two checks whether a queue has drained.
_DRAIN_LOOK_S = 0.1
#: Statuses that `clear` leaves no job in.
_WAITING = (Status.QUEUED, Status.SCHEDULED, Status.RETRYING)
#: `clear` drops no more than this many jobs beyond twice as many as there were.
_CLEARED_MORE = 1000
#: Statuses that no job of a drained queue has.
_UNDONE = (Status.QUEUED, Status.EXECUTING, Status.RETRYING)


class Queue:
    """A queue, as `app.queue(name)` returns it.

    Args:
        store: gives the calling thread's store.
        name: which queue.
    """

    def __init__(self, store: Callable[[], Store], name: str) -> None:
        self._store = store
        self.name = check_key_part("queue", name)

    def pause(self) -> None:
        """Stops workers from leasing jobs of the queue. Leased jobs run to their end, and you can go on enqueuing."""
        batch = self._store().batch()
        for name in self._partitions():
            batch.pause(name)
        batch.run()

    def resume(self) -> None:
        """Ends a pause."""
        batch = self._store().batch()
        for name in self._partitions():
            batch.unpause(name)
            batch.hint(name)
        batch.run()

    @property
    def paused(self) -> bool:
        """Whether the queue is paused."""
        return self._store().batch().is_paused(self.name).run()

    def clear(self, progress: Callable[[int], None] | None = None) -> int:
        """Removes all queued, scheduled and retrying jobs; returns how many there were.

        It ends although jobs may come faster than they are removed: jobs that come meanwhile may be removed or stay.

        Args:
            progress: called after each bounded step with the number of jobs removed so far.
        """
        dropped = 0
        for name in self._partitions():
            # Not just as many as there are: those that come may stand before them.
            end = dropped + 2 * sum(self._store().batch().counters(name, _WAITING).run()) + _CLEARED_MORE
            more = True
            while more and dropped < end:
                step, more = self._store().batch().clear(name).run()
                dropped += step
                if progress is not None:
                    progress(dropped)
        return dropped

    def forget(self) -> None:
        """Takes the queue off the list of queues, if it is empty and nobody uses it.

        Its totals begin at zero again when it is used the next time.

        Raises:
            QueueInUse: it stores a job, a kept one too, or a recurring job; it is paused; a worker serves it; or a
                producer has sent jobs to it during the last hour, or twice its `retry_budget_s` if that is longer.
        """
        for name in self._partitions():
            forget_partition(self._store(), name)

    def drain(self, timeout_s: float | timedelta | None = None) -> None:
        """Waits until nothing is queued, executing or retrying.

        Args:
            timeout_s: how long to wait, in seconds or as a timedelta; None = for ever.

        Raises:
            TimeoutError: the queue has not drained in time.
        """
        deadline = None if timeout_s is None else time.monotonic() + seconds("timeout_s", timeout_s)
        while any(self._undone()):
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"queue {self.name!r} is not drained after {timeout_s} s")
            time.sleep(_DRAIN_LOOK_S)

    def latency(self) -> timedelta:
        """Returns how long the oldest queued job has been waiting to be leased; zero when there is none.

        By the server's clock, from when it was enqueued or became due. O(log queue) for each priority in use.
        """
        return timedelta(microseconds=max(map(self._latency_us, self._partitions())))

    def _latency_us(self, partition: str) -> int:
        store = self._store()
        oldest_us: int | None = None
        lowest = "-inf"
        for _ in range(_MAX_PRIORITIES):
            batch = store.batch()
            first, now_us = batch.first_ready(partition, lowest), batch.time_us()
            batch.run()
            if not first.value:
                break
            ((member, score),) = first.value
            met = read_ready(member.decode("latin-1"), score.decode())
            if met is not None:
                sequence = int(met.place.sequence, 16)
                oldest_us = sequence if oldest_us is None else min(oldest_us, sequence)
            lowest = f"({score.decode()}"
        return 0 if oldest_us is None else max(0, now_us.value - oldest_us)

    def _undone(self) -> list[int]:
        batch = self._store().batch()
        replies = [batch.counters(name, _UNDONE) for name in self._partitions()]
        batch.run()
        return [number for reply in replies for number in reply.value]

    def _partitions(self) -> list[str]:
        return self._store().partitions([self.name])[self.name]

    def __repr__(self) -> str:
        return f"<Queue {self.name}>"
