"""Waits for hints that there is new work, on a connection of its own, and leases it in the same breath."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fastjobs import errors
from fastjobs.store import Batch, Lease, Store

#: Seconds the server holds a wait: a hint that got lost costs an idle worker no more than this.
WAIT_S = 1.0
#: The shortest wait: for the server, 0 is for ever.
_SHORTEST_S = 0.001


class Fetch(NamedTuple):
    """A fetch that is made as soon as the wait ends."""

    queue: str
    request: int
    want: int


class Woken(NamedTuple):
    """What a wait ended with."""

    #: Whether a hint came; else the time was over, or the connection.
    hinted: bool
    #: What was leased, one by one for the fetches; None when it is not known: they have to be made again.
    leases: Sequence[Lease] | None


class Waker:
    """One blocking pop of the wake lists at a time, with fetches right behind it in the same write.

    The server carries the fetches out the moment the pop returns, so new work costs an idle process one
    round trip less. Never raises: without a connection nobody is woken early.

    Args:
        store: over a connection used for nothing else.
        session: the session that takes the leases.
    """

    def __init__(self, store: Store, session: str) -> None:
        self._store = store
        self._session = session
        self._keys: list[bytes] = []
        self._batch: Batch | None = None
        #: The fetches that may be carried out at any moment.
        self.fetches: Sequence[Fetch] = ()

    def add_partitions(self, partitions: Iterable[str]) -> None:
        """Watches the wake lists of partitions as well, from the next wait on."""
        self._keys += [self._store.keys(name).wake for name in partitions]

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
        batch = self._store.batch().command("BLPOP", *self._keys, f"{max(_SHORTEST_S, wait_s):.3f}")
        for fetch in fetches:
            batch.fetch(fetch.queue, self._session, fetch.request, fetch.want, held)
        batch.send()
        self._batch, self.fetches = batch, fetches

    def fileno(self) -> int:
        """The descriptor to poll, or -1 when nothing is waited for or there is no connection."""
        return self._store.client.fileno() if self._batch is not None else -1

    def take(self) -> Woken | None:
        """Returns what the wait ended with; None while it is on."""
        batch = self._batch
        if batch is None or not batch.ready():
            return None
        self._batch = None
        try:
            hint, *leases = batch.result()
        except errors.StoreError:
            self._store.client.close()
            return Woken(False, None if self.fetches else ())
        return Woken(hint is not None, leases)

    def disarm(self) -> bool:
        """Ends a wait early; returns whether something may have been fetched that will not be known of."""
        if self._batch is None:
            return False
        self._batch = None
        self._store.client.close()
        return bool(self.fetches)
