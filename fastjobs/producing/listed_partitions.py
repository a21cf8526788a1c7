"""Remembers which partitions a producer has listed as used, so that workers find those that they do not know of."""

from __future__ import annotations

import time


class ListedPartitions:
    """The partitions listed by one thread.

    Each is listed again now and then: a server that has taken over from another may not know of it.
    """

    _AGAIN_S = 60.0

    def __init__(self) -> None:
        self._listed_at: dict[str, float] = {}

    def __contains__(self, partition: str) -> bool:
        """Whether it need not be listed now."""
        listed_at = self._listed_at.get(partition)
        return listed_at is not None and time.monotonic() < listed_at + self._AGAIN_S

    def add(self, partition: str) -> None:
        """Notes that it is listed."""
        if partition not in self:
            self._listed_at[partition] = time.monotonic()
