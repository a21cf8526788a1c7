"""The terminal that the worker was started in: when it is closed, the hang-up is no order to replace processes."""

from __future__ import annotations

import os
import select
import time

#: A hang-up that comes so soon after the end of the terminal is due to it: the kernel sends one, and so may the shell.
_RELATED_S = 5.0


class Terminal:
    """The controlling terminal, if there is one."""

    def __init__(self) -> None:
        self._descriptor = -1
        self._closed_at = float("-inf")

    def open(self) -> None:
        """Begins to watch it."""
        try:
            self._descriptor = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            self._descriptor = -1

    def register(self, poll: select.poll) -> None:
        """Lets its end be noticed."""
        if self._descriptor >= 0:
            poll.register(self._descriptor, 0)

    def look(self) -> None:
        """Notices its end."""
        if self._descriptor < 0:
            return
        poll = select.poll()
        poll.register(self._descriptor, 0)
        if poll.poll(0):
            os.close(self._descriptor)
            self._descriptor = -1
            self._closed_at = time.monotonic()

    @property
    def hung_up(self) -> bool:
        """Whether a hang-up that has just come is due to its end."""
        return time.monotonic() - self._closed_at <= _RELATED_S
