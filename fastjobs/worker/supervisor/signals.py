"""Signals as something to poll: a handler only leaves a note, the supervisor's loop acts on it."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType

#: TERM and INT stop the worker; HUP replaces its processes.
WATCHED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
#: Signals that may be sent to the whole group, and that its processes leave to the supervisor.
GROUP_SIGNALS = (*WATCHED, signal.SIGQUIT)


class SignalNotes:
    """Collects signals while it is installed."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._received: list[int] = []

    def install(self) -> None:
        """Takes over the watched signals."""
        for number in WATCHED:
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._received.append(number)
        self.wake()

    def wake(self) -> None:
        """Makes the descriptor readable; a full pipe is readable already."""
        with suppress(BlockingIOError):
            os.write(self._writer, b"!")

    def fileno(self) -> int:
        """The descriptor to poll."""
        return self._reader

    def take(self) -> list[int]:
        """Returns the signals received since the last call."""
        with suppress(BlockingIOError):
            os.read(self._reader, 4096)
        received, self._received = self._received, []
        return received
