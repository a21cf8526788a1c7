"""The end of a process: asked for once, over when running jobs have ended or their time is up."""

from __future__ import annotations

import time

from fastjobs.worker.control import ControlLine
from fastjobs.worker.process.executor import Executor


class Shutdown:
    """Whether and when the process ends.

    Args:
        executor: starts nothing more once the shutdown is asked for.
        seats: how many jobs can run at a time.
        control: the line to the supervisor.
    """

    def __init__(self, executor: Executor, seats: int, control: ControlLine) -> None:
        self._executor = executor
        self._seats = seats
        self._control = control
        #: When to end at the latest, on the monotonic clock; None = the shutdown was not asked for.
        self.end_at: float | None = None

    @property
    def asked(self) -> bool:
        """Whether the process is to end."""
        return self.end_at is not None

    def leave(self, reason: str) -> None:
        """Starts nothing more; the process ends when its running jobs have ended, however long they take.

        The supervisor learns of it, and lets another process take the empty seats over.

        Args:
            reason: why, for people.
        """
        if not self.asked:
            self._executor.stop()
            self.end_at = float("inf")
            self._control.send(leaving=reason)

    def ask(self, timeout_s: float) -> None:
        """Starts nothing more; the process ends with its running jobs, in `timeout_s` seconds at the latest."""
        self._executor.stop()
        end_at = time.monotonic() + timeout_s
        self.end_at = end_at if self.end_at is None else min(self.end_at, end_at)

    def end_within(self, seconds: float) -> None:
        """Sets a new time limit, from now on."""
        self.end_at = time.monotonic() + seconds

    @property
    def out_of_time(self) -> bool:
        """Whether the time limit has passed."""
        return self.end_at is not None and time.monotonic() >= self.end_at

    @property
    def done(self) -> bool:
        """Whether nothing runs any more, or the time limit has passed."""
        return self.asked and (self._executor.idle == self._seats or self.out_of_time)
