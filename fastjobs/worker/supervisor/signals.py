"""Signals as something to poll: a handler only leaves a note, the supervisor's loop acts on it."""

from __future__ import annotations

import faulthandler
import os
import signal
from contextlib import suppress
from types import FrameType

#: TERM and INT stop the worker, QUIT stops it immediately.
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
#: The worker starts nothing more.
QUIETS = (signal.SIGTSTP, signal.SIGTTIN)
#: HUP replaces the processes, USR1 prints stacks; USR2 has no effect, rather than the default one.
WATCHED = (*STOPS, *QUIETS, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
#: Signals that may be sent to the whole group, and that its processes leave to the supervisor.
GROUP_SIGNALS = (*STOPS, *QUIETS, signal.SIGHUP, signal.SIGUSR2)


class SignalNotes:
    """Collects signals while it is installed."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._received: list[int] = []

    def install(self) -> None:
        """Takes over the watched signals, whatever the program that started this one had set for them."""
        for number in WATCHED:
            signal.signal(number, self._note)
        # Ends of processes are to be seen.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # The stacks are printed even if the loop that looks at the notes does not turn.
        faulthandler.register(signal.SIGUSR1, all_threads=True, chain=True)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)

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
