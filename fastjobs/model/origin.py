"""Names a chunk by who sends it, so that the server recognises it when it is sent again."""

from __future__ import annotations

from typing import NamedTuple


class Origin(NamedTuple):
    """Who sends a chunk, and which of its chunks it is."""

    #: The id of one thread of a producer.
    sender: str
    #: Counts the chunks that the sender sends to a partition, from 1.
    number: int
    #: Whether a user chose the id of the chunk, so that another job may have it.
    has_chosen_id: bool
