"""One thread's way to the server: its connection, what it knows of the server, and its numbers as a sender."""

from __future__ import annotations

from collections.abc import Callable

from fastjobs.producing.disk_check import DiskCheck
from fastjobs.producing.listed_partitions import ListedPartitions
from fastjobs.producing.sender import Sender
from fastjobs.store.store import Store


class Channel:
    """What one thread sends chunks with.

    Args:
        store: over a connection of its own.
        here: returns the channel of the calling thread, for whoever sends chunks again later on.
    """

    def __init__(self, store: Store, here: Callable[[], Channel]) -> None:
        self.store = store
        self.here = here
        self.disk = DiskCheck(store)
        self.listed = ListedPartitions(store)
        self.sender = Sender()
