"""When the next process may be started: at once, later each time after starts that failed, or never again."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from fastjobs.logs import event
from fastjobs.server.backoff import Backoff
from fastjobs.worker.spec import EXIT_FENCED
from fastjobs.worker.supervisor.child import Child
from fastjobs.worker.supervisor.stopping import EXIT_CRASHING, Stopping

log = logging.getLogger("fastjobs.supervisor")

#: Starts that fail one after the other, while no process works: more cannot help.
_MAX_FAILED = 6
#: A process that was ready for so long was fine; the next one is started at once.
_STABLE_S = 10.0
#: A process that worked and died is replaced within this time: its jobs are blamed one by one, and others wait.
_REPLACE_CAP_S = 1.0


class Starts:
    """Counts starts that failed and decides how long to wait after each end of a process.

    A start has failed when its process could not be made, or ended before it took a job. Whether it had been ready does
    not matter: what ends it may come a moment later.

    Args:
        children: the worker's processes. While one of them works, the worker goes on with what it has.
        stopping: asked for when too many starts have failed.
    """

    def __init__(self, children: Sequence[Child], stopping: Stopping) -> None:
        self._children = children
        self._stopping = stopping
        self._backoff = Backoff(first_s=0.1, cap_s=30.0)
        self._failed = 0
        #: When the next process may be started, on the monotonic clock; infinite = not until `reset`.
        self.next_at = 0.0

    def reset(self) -> None:
        """Begins again, because the code may have changed."""
        self._failed, self.next_at = 0, 0.0

    def suspend(self) -> None:
        """Lets no process start until `reset`."""
        self.next_at = float("inf")

    def failed(self) -> float | None:
        """Counts a start that failed; returns the seconds until the next one, or None when the worker gives up."""
        self._failed += 1
        if self._failed >= _MAX_FAILED and not any(child.proven(_STABLE_S) for child in self._children):
            event(log, logging.CRITICAL, "processes keep exiting before they are ready, giving up")
            self._stopping.ask(EXIT_CRASHING)
            return None
        return self._wait(self._backoff.next_s())

    def after(self, child: Child, code: int) -> float | None:
        """Returns the seconds until the next start after the end of a process, or None when the worker gives up."""
        if child.hello is None and child.predecessor is not None:
            # While the process that it was to replace goes on, there is no reason to give up.
            return self._wait(self._backoff.next_s())
        if not child.proven(_STABLE_S):
            blameless = child.hello is not None and (code == EXIT_FENCED or child.killed)
            return self._wait(min(_REPLACE_CAP_S, self._backoff.next_s())) if blameless else self.failed()
        self._failed = 0
        if child.ready_s >= _STABLE_S:
            self._backoff.reset()
        at_once = code == EXIT_FENCED or child.overdue
        return self._wait(0.0 if at_once else min(_REPLACE_CAP_S, self._backoff.next_s()))

    def _wait(self, seconds: float) -> float:
        self.next_at = time.monotonic() + seconds
        return seconds
