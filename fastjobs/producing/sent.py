"""A chunk that was sent, with all that it takes to send it again."""

from __future__ import annotations

from typing import NamedTuple

from fastjobs.store.batch import Reply
from fastjobs.store.replies import Stored
from fastjobs.store.store import Batch


class Sent(NamedTuple):
    """A chunk that was sent."""

    partition: str
    chunk_id: str
    n: int
    #: Its bytes.
    blob: bytes
    batch: Batch
    #: The reply of the server.
    stored: Reply[Stored]
