"""A chunk that was sent, with all that it takes to send it again."""

from __future__ import annotations

from typing import NamedTuple

from fastjobs.model.origin import Origin
from fastjobs.producing.call import Line
from fastjobs.producing.destinations import Destination
from fastjobs.store.batch import Reply
from fastjobs.store.replies import Stored
from fastjobs.store.store import Batch


class PackedChunk(NamedTuple):
    """A chunk as it is sent: its jobs, its destination, and its number."""

    line: Line
    destination: Destination
    n: int
    #: Its bytes.
    blob: bytes
    origin: Origin

    @property
    def id(self) -> str:
        """Its id."""
        return self.destination.chunk_id

    @property
    def partition(self) -> str:
        """The partition that it goes to."""
        return self.destination.partition

    def add_to(self, batch: Batch) -> Reply[Stored]:
        """Adds the call that stores it to a batch."""
        line, (partition, chunk_id, _), n, blob, origin = self
        return batch.enqueue(
            partition, chunk_id, n, line.priority, blob, origin, delay_ms=line.delay_ms, due_at_ms=line.due_at_ms
        )


class Sent(NamedTuple):
    """A chunk that was sent."""

    chunk: PackedChunk
    batch: Batch
    #: The reply of the server.
    stored: Reply[Stored]
