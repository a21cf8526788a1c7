"""Sends one job by itself, by the shortest way that its destination and the setting `durability` allow."""

from __future__ import annotations

from fastjobs import errors
from fastjobs.producing.call import Line
from fastjobs.producing.destinations import Destination
from fastjobs.producing.listed_partitions import ListedPartitions
from fastjobs.producing.sending import Sending
from fastjobs.server.exchanges.single import PRODUCER_RETRIES
from fastjobs.store.replies import Stored
from fastjobs.store.store import Store


def send_one(store: Store, listed: ListedPartitions, line: Line, destination: Destination, blob: bytes) -> None:
    """Stores a chunk of one and waits for it; arguments and errors as for `Sending`.

    The usual case, a new job for a partition that is known, takes the short way.
    """
    partition, chunk_id = destination
    if partition in listed and store.config.durability == "fire":
        stored = store.batch().enqueue(
            partition, chunk_id, 1, line.priority, blob, delay_ms=line.delay_ms, due_at_ms=line.due_at_ms
        )
        try:
            result = stored.run(PRODUCER_RETRIES, store.config.retry_budget_s)
        except errors.ConnectionLost as error:
            raise errors.EnqueueUnknown(f"the outcome of job {chunk_id} is unknown: {error}", [chunk_id]) from error
        except errors.StoreError as error:
            raise errors.NotEnqueued(f"job {chunk_id} was not stored: {error}") from error
        if result is Stored.CREATED or result is Stored.EXISTING:
            return
    # Sent before or not, it may be sent again.
    sending = Sending(store, listed)
    sending.send(line, destination, 1, blob)
    sending.finish()
