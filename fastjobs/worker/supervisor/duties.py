"""What a duty is: something that the supervisor does when its time has come. A new duty is one class and one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from fastjobs.worker.supervisor.server_calls import ServerCalls


class Duty(Protocol):
    """A regular task of the supervisor. The turn runs it when it is due, and sleeps no longer than until then."""

    @property
    def due_at(self) -> float:
        """When to run it next, on the monotonic clock; infinite = not until something happens."""

    def run(self) -> object:
        """Does it, and sets when it is due again. Short: signals and processes wait meanwhile."""


class Guarded:
    """A duty that needs the server and raises without it; it is put off to its next time.

    Args:
        duty: the duty.
        server: makes its calls.
        paused: returns whether it has nothing to do for now.
    """

    def __init__(self, duty: Duty, server: ServerCalls, paused: Callable[[], bool] = lambda: False) -> None:
        self._duty = duty
        self._server = server
        self._paused = paused

    @property
    def due_at(self) -> float:
        """As the duty says, or never while it is paused."""
        return float("inf") if self._paused() else self._duty.due_at

    def run(self) -> None:
        """Runs the duty."""
        self._server.guarded(self._duty.run)
