"""Processes that take long to start: they are logged, and ended when their time is over."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from fastjobs.logs import event
from fastjobs.worker.supervisor.child import Child

log = logging.getLogger("fastjobs.supervisor")


class SlowStarts:
    """A duty, due when a process has been starting for too long.

    Args:
        children: the worker's processes.
        timeout_s: how long a process may take to import the app and to run its hooks.
    """

    def __init__(self, children: Sequence[Child], timeout_s: float) -> None:
        self._children = children
        self._timeout_s = timeout_s

    @property
    def due_at(self) -> float:
        """When to log or to end the next process."""
        return min(
            (min(child.slow_at, child.started_at + self._timeout_s) for child in self._starting()),
            default=float("inf"),
        )

    def run(self) -> None:
        """Logs processes that are slow, ever less often, and ends those whose time is over."""
        now = time.monotonic()
        for child in self._starting():
            seconds = now - child.started_at
            if seconds >= self._timeout_s:
                event(log, logging.ERROR, "process did not start in time, killing it", pid=child.pid)
                child.kill()
            elif now >= child.slow_at:
                event(log, logging.WARNING, "process is still starting", pid=child.pid, seconds=round(seconds))
                child.slow_at = now + seconds

    def _starting(self) -> list[Child]:
        return [child for child in self._children if child.starting and not child.killed]
