"""Forgets queues that nobody uses: nothing else takes one off the list."""

from __future__ import annotations

from fastjobs import errors
from fastjobs.model.partitions import queue_of
from fastjobs.store.store import Store

#: Key that is not empty -> why a queue cannot be forgotten; of every other key: it has jobs.
_REASONS = {
    "sessions": "workers serve it",
    "recurring": "it has recurring jobs",
    "senders": "a producer used it a short while ago, and may send the same jobs again",
    "paused": "it is paused, and would not be paused any more",
}


def forget_partition(store: Store, partition: str) -> None:
    """Removes a partition from the store and from the list; harmless when it is not there.

    Jobs that are enqueued meanwhile are stored, and the partition is on the list again.

    Raises:
        QueueInUse: it is not empty.
    """
    while store.batch().trim(partition).run():
        pass
    kept_by = store.batch().forget(partition).run()
    if kept_by:
        raise errors.QueueInUse(queue_of(partition), partition, kept_by, _REASONS.get(kept_by, "it has jobs"))
    # The list may be on another server. A producer that finds the partition empty lists it after it has enqueued: so
    # either that comes after this step, or the next step finds what it has enqueued.
    store.batch().unlist_partition(partition).run()
    if store.batch().was_enqueued_to(partition).run():
        store.batch().list_partition(partition).run()
