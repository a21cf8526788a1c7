"""Lists the partitions that a producer uses, so that workers find those that they do not know of.

The list is in another key, on a cluster perhaps on another node. So a failure of listing says nothing about the jobs:
it is logged, and the partition is listed later.
"""

from __future__ import annotations

import logging
import time

from fastjobs import errors
from fastjobs.logs import event
from fastjobs.server.exchanges.single import PRODUCER_RETRIES
from fastjobs.store.store import Batch, Store

log = logging.getLogger("fastjobs.producer")


class ListedPartitions:
    """The partitions listed by one thread.

    Each is listed again over each new connection, and now and then: a server that has restarted, or has taken over from
    another, may not know of it.

    Args:
        store: of the thread.
    """

    _AGAIN_S = 60.0
    #: Until it is tried again after a failure. A node that is down may keep each try waiting.
    _AFTER_FAILURE_S = 5.0

    def __init__(self, store: Store) -> None:
        self._store = store
        #: When a partition was last listed or could not be, by the monotonic clock, and which.
        self._answered: dict[str, tuple[float, bool]] = {}
        self._asked: dict[str, Batch] = {}
        self._generation = -1

    @property
    def outdated(self) -> bool:
        """Whether all that was listed has to be listed again, because a connection was lost since."""
        return self._generation != self._store.client.generation

    def __contains__(self, partition: str) -> bool:
        """Whether it need not be listed now."""
        if self.outdated:
            return False
        answered_at, was_listed = self._answered.get(partition, (float("-inf"), False))
        return time.monotonic() < answered_at + (self._AGAIN_S if was_listed else self._AFTER_FAILURE_S)

    def ask(self, partition: str) -> None:
        """Sends the request to list a partition, unless it is listed or the request is on its way."""
        if partition not in self and partition not in self._asked:
            batch = self._store.batch()
            batch.list_partition(partition)
            batch.send()
            self._asked[partition] = batch

    def settle(self, partition: str, *, is_first: bool = False) -> None:
        """Waits for the answer to a request; does not raise if the partition could not be listed.

        Args:
            partition: which.
            is_first: whether the partition was empty before, so that it may have been forgotten since it was listed.
        """
        if self.outdated:
            self._answered.clear()
            self._generation = self._store.client.generation
        elif is_first:
            self._answered.pop(partition, None)
        self.ask(partition)
        batch = self._asked.pop(partition, None)
        if batch is None:
            return
        was_listed = True
        try:
            batch.result(PRODUCER_RETRIES, give_up=lambda failure: True)
        except errors.StoreError as error:
            was_listed = False
            event(log, logging.WARNING, "queue not listed", queue=partition, reason=str(error))
        self._answered[partition] = time.monotonic(), was_listed

    def forget_requests(self) -> None:
        """Waits for no answer any more; what was requested is requested again when it is needed."""
        self._asked.clear()
