"""Keeps jobs that killed a process before apart, and runs each alone, so that no other job is blamed."""

from __future__ import annotations

from fastjobs._core import Backlog, LeasedJobs
from fastjobs.worker.process.executor import Executor
from fastjobs.worker.process.shutdown import Shutdown


class Quarantine:
    """The suspects of one process.

    Args:
        backlog: where a suspect goes when it is its turn.
        executor: a suspect starts only when all of its seats are empty.
        shutdown: after it was asked for, no suspect starts any more.
    """

    def __init__(self, backlog: Backlog, executor: Executor, shutdown: Shutdown) -> None:
        self._backlog = backlog
        self._executor = executor
        self._shutdown = shutdown
        #: Leased suspects that have not started.
        self.suspects: list[LeasedJobs] = []
        #: True while a suspect runs.
        self.alone = False

    @property
    def empty(self) -> bool:
        """Whether no suspect waits or runs."""
        return not self.suspects and not self.alone

    @property
    def waits(self) -> bool:
        """Whether suspects wait for everything else to end."""
        return bool(self.suspects) and not self.alone

    def withdraw(self) -> list[tuple[LeasedJobs, int, int]]:
        """Takes back the suspects that have not started, as `Backlog.withdraw` does."""
        withdrawn = [(jobs, jobs.first, jobs.count) for jobs in self.suspects]
        self.suspects.clear()
        return withdrawn

    def start_next(self) -> None:
        """Starts the next suspect once nothing else is there."""
        if self._executor.idle < self._backlog.board.seats or self._backlog.unstarted:
            return
        self.alone = bool(self.suspects) and not self._shutdown.asked
        if self.alone:
            self._backlog.push(self.suspects.pop(0))
