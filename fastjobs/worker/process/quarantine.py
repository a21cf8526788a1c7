"""Keeps suspects apart: jobs during which a process died. They run without others, and in ever smaller groups.

The first time they run in groups of half of those that ran when the process died, then in groups of half of that, so
that one job among many is found in a few steps. What is known in the end is known of a job that ran alone.
"""

from __future__ import annotations

from fastjobs._core import Backlog, LeasedJobs
from fastjobs.worker.leases import HeldSpan
from fastjobs.worker.process.executor import Executor
from fastjobs.worker.process.shutdown import Shutdown


class Quarantine:
    """The suspects of one process.

    Args:
        backlog: where a suspect goes when it is its turn.
        executor: suspects start only when all of its seats are empty.
        shutdown: after it was asked for, no suspect starts any more.
    """

    def __init__(self, backlog: Backlog, executor: Executor, shutdown: Shutdown) -> None:
        self._backlog = backlog
        self._executor = executor
        self._shutdown = shutdown
        #: Leased suspects that have not started.
        self.suspects: list[LeasedJobs] = []
        #: True while suspects run.
        self.apart = False

    @property
    def empty(self) -> bool:
        """Whether no suspect waits or runs."""
        return not self.suspects and not self.apart

    @property
    def waits(self) -> bool:
        """Whether suspects wait for everything else to end."""
        return bool(self.suspects) and not self.apart

    def withdraw(self) -> list[tuple[LeasedJobs, int, int]]:
        """Takes back the suspects that have not started, as `Backlog.withdraw` does."""
        withdrawn = _whole(self.suspects)
        self.suspects.clear()
        return withdrawn

    def start_next(self) -> list[tuple[LeasedJobs, int, int]]:
        """Starts the next suspects once nothing else is there; returns those that are left for other processes.

        While some are left, none starts yet: should the whole worker die, only suspects that ran must be charged.
        """
        if self._executor.idle < self._backlog.board.seats or self._backlog.unstarted:
            return []
        self.apart = False
        if not self.suspects or self._shutdown.asked:
            return []
        group, left = self._divide()
        if left:
            self.suspects[:] = group
        else:
            self.apart = True
            self._push_all()
        return _whole(left)

    def _push_all(self) -> None:
        for jobs in self.suspects:
            self._backlog.push(jobs)
        self.suspects.clear()

    def _divide(self) -> tuple[list[LeasedJobs], list[LeasedJobs]]:
        """The suspects that are to run together next, and the others."""
        group: list[LeasedJobs] = []
        left: list[LeasedJobs] = []
        most = max(1, self._executor.allowed)
        for jobs in self.suspects:
            span: HeldSpan = jobs.owner
            if len(group) < min(most, span.beside):
                group.append(jobs)
                most = min(most, span.beside)
            else:
                left.append(jobs)
        return group, left


def _whole(suspects: list[LeasedJobs]) -> list[tuple[LeasedJobs, int, int]]:
    return [(jobs, jobs.first, jobs.count) for jobs in suspects]
