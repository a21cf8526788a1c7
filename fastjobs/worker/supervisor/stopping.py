"""The end of a worker: asked for once, forced by a second signal, and enforced when the processes' time is up."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from fastjobs.logs import event
from fastjobs.worker.supervisor.child import Child

log = logging.getLogger("fastjobs.supervisor")

#: Exit codes of the worker.
EXIT_OK = 0
EXIT_FORCED = 1
EXIT_USAGE = 2
EXIT_CRASHING = 5

#: Beyond their time, processes get as long as a reply of the server and their last reports may take, in seconds.
_EXTRA_S = 9.0


class Stopping:
    """Whether the worker stops, and with which exit code. As a duty, it kills processes that do not end in time.

    Args:
        children: the worker's processes.
        timeout_s: how long running jobs have.
    """

    def __init__(self, children: Sequence[Child], timeout_s: float) -> None:
        self._children = children
        self._timeout_s = timeout_s
        self._code: int | None = None
        #: When processes are killed, on the monotonic clock; infinite while the worker does not stop.
        self.due_at = float("inf")

    @property
    def asked(self) -> bool:
        """Whether the worker stops."""
        return self._code is not None

    @property
    def exit_code(self) -> int:
        """The worker's exit code, as far as is known."""
        return self._code or EXIT_OK

    def ask(self, exit_code: int = EXIT_OK) -> None:
        """Stops the worker: nothing new starts, running jobs may end. Only the first call counts."""
        if self._code is None:
            self._code = exit_code
            self._stop_children(self._timeout_s)

    def force(self) -> None:
        """Stops the worker at once: running jobs are given back."""
        self.note_forced()
        self._stop_children(0.0)

    def note_forced(self) -> None:
        """Notes that running jobs were not left to their end."""
        self._code = self._code or EXIT_FORCED

    def run(self) -> None:
        """Kills the processes that are still there."""
        for child in self._children:
            event(log, logging.ERROR, "process did not exit in time, killing it", pid=child.pid)
            child.kill()
        self.note_forced()
        self.due_at = float("inf")

    def _stop_children(self, timeout_s: float) -> None:
        for child in self._children:
            child.stop(timeout_s)
        self.due_at = time.monotonic() + timeout_s + _EXTRA_S
