"""Prints the stacks of all processes, one process after the other, as their lines would mix otherwise."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Sequence

from fastjobs.logs import event
from fastjobs.worker.supervisor.child import Child

log = logging.getLogger("fastjobs.supervisor")

#: A process prints its stacks within this time, unless the machine is very busy.
_PRINT_S = 0.1


class StackPrinter:
    """A duty, due once the stacks of the supervisor, which its signal handler prints, are there.

    Args:
        children: the worker's processes; each prints its stacks when it gets SIGUSR1.
    """

    def __init__(self, children: Sequence[Child]) -> None:
        self._children = children
        self._left: list[Child] = []
        self.due_at = float("inf")

    def ask(self) -> None:
        """Has all processes print their stacks."""
        event(log, logging.INFO, "stacks of the supervisor printed, those of its processes follow")
        self._left = list(self._children)
        self.due_at = 0.0

    def run(self) -> None:
        """Has the next process print its stacks."""
        self.due_at = float("inf")
        self._left = [child for child in self._left if child in self._children]
        if self._left:
            child = self._left.pop(0)
            event(log, logging.INFO, "stacks of process follow", pid=child.pid)
            child.process.send_signal(signal.SIGUSR1)
            self.due_at = time.monotonic() + _PRINT_S
