"""A worker that starts nothing more, but lives on: asked for by an operator or a signal, at any time."""

from __future__ import annotations

from collections.abc import Sequence

from fastjobs.worker.supervisor.child import Child


class Quieting:
    """Whether the worker is quiet.

    Args:
        children: the worker's processes.
    """

    def __init__(self, children: Sequence[Child]) -> None:
        self._children = children
        self.asked = False

    def ask(self) -> None:
        """Lets the processes start nothing more, for good."""
        self.asked = True
        for child in self._children:
            child.control.send(quiet=True)

    def greet(self, child: Child) -> None:
        """Takes in a process that was started: it reads this before it fetches."""
        if self.asked:
            child.control.send(quiet=True)
