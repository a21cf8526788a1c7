"""Which process replaces which, and how many of its threads it may use while the other one ends its running jobs.

A process that is to be replaced goes on until its successor is ready. Then it starts nothing more, ends when its
running jobs have ended, however long they take, and hands its seats over one by one: so no capacity is lost meanwhile,
and no more jobs run at a time than the worker has threads.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastjobs.worker.supervisor.child import Child


class Succession:
    """The places of a worker, each held by one process, or by a line of processes that replace each other.

    Args:
        children: the processes; the fleet holds this list, too.
        places: how many there are. There are never more than twice as many processes.
        threads: how many jobs may run in each place at a time.
    """

    def __init__(self, children: Sequence[Child], places: int, threads: int) -> None:
        self._children = children
        self._places = places
        self._threads = threads

    @property
    def underway(self) -> bool:
        """Whether a process may not use all of its threads yet."""
        return any(child.seats < self._threads for child in self._children)

    def vacancies(self) -> list[Child | None]:
        """Returns, for each process that is to be started now, the one that it replaces, or None."""
        followed = {child.predecessor for child in self._children}
        latest = [child for child in self._children if child not in followed]
        vacant: list[Child | None] = [None] * (self._places - len(latest))
        vacant += [child for child in latest if child.leaving or child.outdated]
        return vacant[: 2 * self._places - len(self._children)]

    def ready(self, child: Child) -> None:
        """Lets the process leave that this one, which is ready now, replaces."""
        if child.predecessor is not None and not child.predecessor.leaving:
            child.predecessor.leave()

    def ended(self, child: Child) -> None:
        """Notes that a process has ended: who replaces it inherits what it replaced itself."""
        for other in self._children:
            if other.predecessor is child:
                other.predecessor = child.predecessor

    def hand_over(self) -> None:
        """Lets processes use the threads that those before them no longer need."""
        for child in self._children:
            seats = self._seats(child)
            if seats > child.seats:
                child.allow(seats)

    def _seats(self, child: Child) -> int:
        seats, older = self._threads, child.predecessor
        while older is not None:
            if not older.leaving:
                return 0
            seats -= len(older.board.running())
            older = older.predecessor
        return seats
