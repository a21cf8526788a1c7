"""How many jobs a process may still start before it is replaced."""

from __future__ import annotations

from fastjobs._core import MAX_FETCH_JOBS, Backlog
from fastjobs.worker.process.shutdown import Shutdown


class Lifespan:
    """The jobs that a process may start.

    Args:
        max_jobs: how many; 0 = no limit.
        backlog: the jobs that have not started, and how many have run.
        shutdown: asked for when the last job has started.
    """

    def __init__(self, max_jobs: int, backlog: Backlog, shutdown: Shutdown) -> None:
        self._max_jobs = max_jobs
        self._backlog = backlog
        self._shutdown = shutdown

    @property
    def left(self) -> int:
        """How many more jobs may be leased; without a limit, as many as one fetch takes."""
        if not self._max_jobs:
            return MAX_FETCH_JOBS
        return max(0, self._max_jobs - self._started - self._backlog.unstarted)

    def end_if_over(self) -> None:
        """Lets the process end once the last of its jobs has started."""
        if self._max_jobs and not self._backlog.unstarted and self._started >= self._max_jobs:
            self._shutdown.leave(f"ran {self._started} jobs")

    @property
    def _started(self) -> int:
        return int(self._backlog.executed) + len(self._backlog.board.running())
