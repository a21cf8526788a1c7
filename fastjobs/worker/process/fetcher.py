"""Decides when the process fetches and from which partition: in turn, when a hint comes, or when something is due."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from fastjobs.store.batch import Reply
from fastjobs.store.replies import Lease
from fastjobs.store.store import Batch
from fastjobs.worker.process.intake import Intake
from fastjobs.worker.process.sizing import Sizing
from fastjobs.worker.process.turns import Turns
from fastjobs.worker.process.waker import WAIT_S, Fetch, Wakers

#: A look so much before the end of a wait is not worth one of its own.
_LOOK_STEP_S = 0.005


class Fetched(NamedTuple):
    """A fetch on its way."""

    partition: str
    lease: Reply[Lease]


class Fetcher:
    """Adds fetches to the batches of the process's main loop, or to a wait for hints, and takes their leases in.

    Args:
        wakers: wait for hints.
        sizing: how many jobs are wanted.
        turns: from which partition.
        intake: takes leases in.
        session: what takes the leases.
        on_reply: called with each reply to a fetch: the process is not deaf.
        on_fenced: called when the server says that the session's jobs belong to others.
    """

    def __init__(
        self,
        wakers: Wakers,
        sizing: Sizing,
        turns: Turns,
        intake: Intake,
        session: str,
        on_reply: Callable[[], None],
        on_fenced: Callable[[], None],
    ) -> None:
        self._wakers = wakers
        self._sizing = sizing
        self._turns = turns
        self._intake = intake
        self._session = session
        self._on_reply = on_reply
        self._on_fenced = on_fenced
        self._partitions: list[str] = []
        #: Partitions still to be tried in this round.
        self._to_try: list[str] = []
        #: When the next round begins, on the monotonic clock.
        self._look_at = 0.0
        #: Partitions whose hints were taken when nothing was wanted: others are to have them.
        self._unused_hints: list[str] = []
        #: Fetches of a wait whose replies were lost: they may have been carried out.
        self._lost_fetches: list[Fetch] = []
        #: Number of the last fetch.
        self.request = 0

    def add_partitions(self, partitions: list[str]) -> None:
        """Fetches from partitions as well."""
        self._partitions += partitions
        self._turns.add_partitions(partitions)
        self._intake.add_partitions(partitions)
        self._wakers.add_partitions(partitions)

    @property
    def want(self) -> int:
        """How many jobs are wanted now; 0 while enough are held."""
        return self._sizing.want()

    @property
    def known_request(self) -> int:
        """Number of the last fetch whose reply is known: what a wait may have leased is not lost, but on its way."""
        return min((fetch.request - 1 for fetch in self._wakers.pending), default=self.request)

    # By turn.

    def look_within(self, seconds: float) -> None:
        """Begins the next round in so many seconds at the latest."""
        self._look_at = min(self._look_at, time.monotonic() + seconds)

    def add_hints(self, batch: Batch) -> None:
        """Adds what wakes other processes in place of this one."""
        hints, self._unused_hints = self._unused_hints, []
        for partition in hints:
            batch.hint(partition)

    def add_fetch(self, batch: Batch, allowed: bool) -> Fetched | None:
        """Adds a fetch from the next partition to try, if jobs are wanted.

        Args:
            batch: what is sent next.
            allowed: whether anything new may be leased.
        """
        if self._lost_fetches:
            lost = self._lost_fetches.pop()
            self._to_try = [lost.partition]
            held = self._intake.held_chunks(lost.partition)
            return Fetched(lost.partition, batch.fetch(lost.partition, self._session, lost.request, lost.want, held))
        if not allowed or (self._wakers.armed and not self._looks_before_waker()):
            return None
        want = self.want
        if not want:
            return None
        if not self._to_try:
            if time.monotonic() < self._look_at:
                return None
            self._to_try = self._turns.order()
        partition = self._to_try[0]
        self.request += 1
        held = self._intake.held_chunks(partition)
        return Fetched(partition, batch.fetch(partition, self._session, self.request, want, held))

    def take(self, partition: str, lease: Lease) -> bool:
        """Takes the reply to a fetch in; returns whether it brought jobs."""
        self._on_reply()
        if lease.fence < 0:
            self._on_fenced()
        elif lease.fence == 0:
            self._to_try = self._to_try[1:]
            wait_s = WAIT_S if lease.next_due_ms < 0 else min(WAIT_S, lease.next_due_ms / 1000)
            look_at = time.monotonic() + wait_s
            # The first partition of a round sets the time, the others can only bring it forward.
            passed = self._look_at <= time.monotonic()
            self._look_at = look_at if passed else min(self._look_at, look_at)
        else:
            self._to_try = []
            self._look_at = 0.0
            # A lease is empty when it was audited away between a lost reply and the repeated fetch.
            if lease.spans:
                self._intake.accept(partition, lease)
                return True
        return False

    # By hint.

    def arm(self) -> None:
        """Begins to wait for hints, unless that is on already."""
        if not self._wakers.armed:
            wait_s = self._look_at - time.monotonic()
            self._wakers.arm(wait_s, self._fetches_on_wake(), self._intake.held_chunks(self._partitions[0]))

    def disarm(self) -> bool:
        """Ends a wait that could fetch; returns whether something may have been fetched that nobody will know of."""
        return self._wakers.disarm()

    def descriptors(self) -> list[int]:
        """The descriptors to poll while waiting for hints."""
        return self._wakers.filenos()

    def next_look_s(self, wanted: bool) -> float:
        """Returns in how many seconds there is something to look after.

        Args:
            wanted: whether jobs are wanted, so that a round may begin.
        """
        now = time.monotonic()
        if wanted and (not self._wakers.armed or self._looks_before_waker()):
            return min(self._wakers.deadline, self._look_at) - now
        return self._wakers.deadline - now

    def take_woken(self, allowed: bool) -> bool:
        """Takes in what waits have ended with; returns whether that brought jobs.

        Args:
            allowed: whether anything new may be leased.
        """
        leased = False
        while (woken := self._wakers.take()) is not None:
            if woken.leases is None:
                self._lost_fetches = list(self._wakers.fetches)
            elif woken.leases:
                for fetch, lease in zip(self._wakers.fetches, woken.leases, strict=True):
                    leased |= self.take(fetch.partition, lease)
                    if woken.hint is not None and fetch.request < self.request:
                        # A fetch made meanwhile made this one out of date: the hint is to be followed by another.
                        self._look_at = 0.0
            elif woken.hint is not None:
                self._take_hint(woken.hint, allowed)
        return leased

    def _take_hint(self, partition: str, allowed: bool) -> None:
        """Looks at the partition first that a hint came from, or leaves the hint to others."""
        if allowed and self.want:
            self._to_try = self._turns.order(partition)
            self._look_at = 0.0
        else:
            self._unused_hints.append(partition)

    def _looks_before_waker(self) -> bool:
        """Whether something is due, a retry for example, before the wait that is on ends by itself."""
        return self._look_at < self._wakers.ends_at - _LOOK_STEP_S

    def _fetches_on_wake(self) -> list[Fetch]:
        """The fetches to make the moment a hint comes; of several partitions the hint names the one to try first."""
        if len(self._partitions) > 1:
            return []
        self.request += 1
        return [Fetch(self._partitions[0], self.request, self.want)]
