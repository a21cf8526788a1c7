"""Decides from which partition to fetch next: queues in order or by weight, partitions of a queue in turn."""

from __future__ import annotations

from collections.abc import Sequence

from fastjobs.config import QueueChoice
from fastjobs.model.chance import chance
from fastjobs.model.partitions import queue_of


class Turns:
    """The order in which partitions are tried.

    Args:
        queues: the queues to take from, with weights if they are weighted.
    """

    def __init__(self, queues: Sequence[QueueChoice]) -> None:
        self._queues = queues
        self._weighted = any(choice.weight is not None for choice in queues)
        self._partitions: dict[str, list[str]] = {}
        self._round = 0

    def add_partitions(self, partitions: Sequence[str]) -> None:
        """Adds partitions of the queues."""
        for name in partitions:
            self._partitions.setdefault(queue_of(name), []).append(name)

    def order(self, hinted: str = "") -> list[str]:
        """Returns the partitions in the order to try them now: by queue as given, or drawn by weight.

        The partitions of a queue take turns, but the one that a hint came from is first.
        """
        self._round += 1
        return [name for queue in self._order_queues() for name in self._in_turn(self._partitions[queue], hinted)]

    def _order_queues(self) -> list[str]:
        if not self._weighted:
            return [choice.name for choice in self._queues]
        # Efraimidis and Spirakis (2006): keys u^(1/w) sort a weighted draw without replacement.
        keyed = [(chance.random() ** (1 / (choice.weight or 1)), choice.name) for choice in self._queues]
        return [name for _, name in sorted(keyed, reverse=True)]

    def _in_turn(self, partitions: list[str], hinted: str) -> list[str]:
        first = partitions.index(hinted) if hinted in partitions else self._round % len(partitions)
        return partitions[first:] + partitions[:first]
