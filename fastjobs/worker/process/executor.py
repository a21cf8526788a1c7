"""The interface of executors, which run the jobs of a backlog on the seats of a process. Threads are one way."""

from __future__ import annotations

from typing import Protocol

from fastjobs.errors import JobInterrupted


class Executor(Protocol):
    """Runs jobs on seats. The process's main loop calls all of this from one thread; no call blocks."""

    #: How many seats may be taken at present; the process that this one replaces may still use the others.
    allowed: int

    @property
    def idle(self) -> int:
        """How many seats are empty."""

    @property
    def free(self) -> int:
        """How many more seats may be taken now."""

    def start(self) -> None:
        """Makes the executor ready; nothing runs before `feed`."""

    def feed(self) -> None:
        """Starts jobs of the backlog on empty seats, as many as there are jobs for."""

    def interrupt(self, seat: int, exception: type[JobInterrupted], started_ns: int) -> bool:
        """Asks the job that started on a seat at the given time to end; returns False when that is not to be done."""

    def pursue(self) -> None:
        """Goes on with asking jobs to end that do not know it yet."""

    def stop(self) -> None:
        """Starts nothing more, and lets every running job end."""
