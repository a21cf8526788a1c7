"""Waits for hints that there is new work, on connections of its own, and leases it in the same breath."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fastjobs import errors
from fastjobs.server.connection import Client
from fastjobs.server.endpoint import Endpoint
from fastjobs.store.batch import Reply
from fastjobs.store.replies import Lease
from fastjobs.store.store import Batch, Store

#: Seconds the server holds a wait: a hint that got lost costs an idle worker no more than this.
WAIT_S = 1.0
#: The shortest wait: for the server, 0 is for ever.
_SHORTEST_S = 0.001


class Fetch(NamedTuple):
    """A fetch that is made as soon as the wait ends."""

    partition: str
    request: int
    want: int


class Woken(NamedTuple):
    """What a wait ended with."""

    #: The partition a hint came from; None when the time was over, or the connection.
    hint: str | None
    #: The leases, one for each fetch; None when they are not known: the fetches have to be made again.
    leases: Sequence[Lease] | None


class Waker:
    """One blocking pop of the wake lists at a time, with fetches right behind it in the same write.

    The server carries the fetches out the moment the pop returns, so new work costs an idle process one
    round trip less. Never raises: without a connection nobody is woken early.

    Args:
        store: over a connection used for nothing else.
        client: that connection.
        session: the session that takes the leases.
    """

    def __init__(self, store: Store, client: Client, session: str) -> None:
        self._store = store
        self._client = client
        self._session = session
        #: Wake list -> its partition.
        self._keys: dict[bytes, str] = {}
        self._batch: Batch | None = None
        self._hint: Reply[bytes | None]
        self._leases: list[Reply[Lease]] = []
        #: The fetches that may be carried out at any moment.
        self.fetches: Sequence[Fetch] = ()
        #: When the server ends the wait, and when it is given up if it does not, on the monotonic clock.
        self.ends_at = self.deadline = 0.0

    def add_partitions(self, partitions: Iterable[str]) -> None:
        """Watches the wake lists of partitions as well, from the next wait on."""
        self._keys |= {self._store.keys(name).wake: name for name in partitions}

    @property
    def armed(self) -> bool:
        """Whether a wait is on."""
        return self._batch is not None

    def arm(self, wait_s: float, fetches: Sequence[Fetch], held: Iterable[str]) -> None:
        """Begins to wait.

        Args:
            wait_s: seconds until the wait ends by itself.
            fetches: what to fetch then.
            held: ids of chunks the process holds already.
        """
        batch = self._store.batch()
        self._hint = batch.wait_for_hint(self._keys, max(_SHORTEST_S, wait_s))
        self._leases = [
            batch.fetch(fetch.partition, self._session, fetch.request, fetch.want, held) for fetch in fetches
        ]
        batch.send()
        self._batch, self.fetches = batch, fetches
        self.ends_at = time.monotonic() + wait_s
        self.deadline = self.ends_at + self._client.timeout_s

    def fileno(self) -> int:
        """The descriptor to poll, or -1 when nothing is waited for or there is no connection."""
        return self._client.fileno() if self._batch is not None else -1

    def take(self) -> Woken | None:
        """Returns what the wait ended with; None while it is on."""
        batch = self._batch
        if batch is None:
            return None
        if batch.ready():
            self._batch = None
            try:
                batch.result()
            except errors.StoreError:
                return self._lost()
            hint = self._hint.value
            return Woken(None if hint is None else self._keys.get(hint), [lease.value for lease in self._leases])
        if time.monotonic() < self.deadline:
            return None
        # Nobody is at the other end, though nobody said so.
        return self._lost()

    def _lost(self) -> Woken:
        """Gives the connection up; the next wait gets one of its own."""
        self._batch = None
        self._client.close()
        return Woken(None, None if self.fetches else ())

    def disarm(self) -> bool:
        """Ends a wait early; returns whether something may have been fetched that will not be known of."""
        if self._batch is None:
            return False
        self._batch = None
        self._client.close()
        return bool(self.fetches)


class Wakers:
    """One `Waker` for all partitions; on a cluster, where one pop can only watch one slot, one for each of them.

    Args:
        endpoint: where the server is.
        store: the process's: it knows where partitions are.
        session: the session that takes the leases.
    """

    def __init__(self, endpoint: Endpoint, store: Store, session: str) -> None:
        self._endpoint = endpoint
        self._store = store
        self._session = session
        self._wakers: list[Waker] = []

    def add_partitions(self, partitions: Sequence[str]) -> None:
        """Watches partitions as well, from the next wait on."""
        if self._store.is_cluster:
            for name in partitions:
                self._add_waker([name])
        elif self._wakers:
            self._wakers[0].add_partitions(partitions)
        elif partitions:
            self._add_waker(partitions)

    @property
    def armed(self) -> bool:
        """Whether a wait is on that fetches what it is woken for; on a cluster whether all waits are on."""
        return all(waker.armed for waker in self._wakers)

    @property
    def ends_at(self) -> float:
        """When the first wait ends by itself, on the monotonic clock."""
        return min(waker.ends_at for waker in self._wakers)

    @property
    def deadline(self) -> float:
        """When the first wait that is on is given up, on the monotonic clock."""
        return min((waker.deadline for waker in self._wakers if waker.armed), default=float("inf"))

    @property
    def fetches(self) -> Sequence[Fetch]:
        """The fetches that may be carried out at any moment."""
        return self._wakers[0].fetches

    @property
    def pending(self) -> list[Fetch]:
        """The fetches of the waits that are on: they may have been carried out, and their replies be on the way."""
        return [fetch for waker in self._wakers if waker.armed for fetch in waker.fetches]

    def arm(self, wait_s: float, fetches: Sequence[Fetch], held: Iterable[str]) -> None:
        """Begins the waits that are not on already; see `Waker.arm`."""
        for waker in self._wakers:
            if not waker.armed:
                waker.arm(wait_s, fetches, held)

    def filenos(self) -> list[int]:
        """The descriptors to poll."""
        return [number for number in (waker.fileno() for waker in self._wakers) if number >= 0]

    def take(self) -> Woken | None:
        """Returns what the first wait that is over ended with; None while all are on."""
        for waker in self._wakers:
            woken = waker.take()
            if woken is not None:
                return woken
        return None

    def disarm(self) -> bool:
        """Ends waits early that may fetch; returns whether something may have been fetched that nobody will know of."""
        lost = [waker.disarm() for waker in self._wakers if waker.fetches]
        return any(lost)

    def _add_waker(self, partitions: Sequence[str]) -> None:
        config = self._store.config
        key = self._store.keys(partitions[0]).wake
        client = self._endpoint.connect_beside(self._store.client, key, config.socket_timeout_s + WAIT_S)
        waker = Waker(Store(client, config), client, self._session)
        waker.add_partitions(partitions)
        self._wakers.append(waker)
