"""The orders of the supervisor: to stop or leave, to start less or more, to cancel jobs, to work on more partitions."""

from __future__ import annotations

import logging

from fastjobs.logs import event
from fastjobs.worker.control import ControlLine
from fastjobs.worker.process.executor import Executor
from fastjobs.worker.process.shutdown import Shutdown

log = logging.getLogger("fastjobs.worker")


class Orders:
    """The orders of the supervisor.

    Args:
        control: the process's end of the control line.
        executor: may take as many seats as the supervisor allows.
        shutdown: asked for when the supervisor orders it or is gone.
        shutdown_timeout_s: how long running jobs have when the supervisor is gone.
    """

    def __init__(self, control: ControlLine, executor: Executor, shutdown: Shutdown, shutdown_timeout_s: float) -> None:
        self._control = control
        self._executor = executor
        self._shutdown = shutdown
        self._shutdown_timeout_s = shutdown_timeout_s
        self._orphaned = False
        #: True once nothing more is to be started, though the process lives on.
        self.quiet = False
        self._partitions: list[str] = []
        self._cancelled: list[tuple[str, str]] = []

    def read(self) -> None:
        """Takes in what has come, and goes on sending what the line had no room for."""
        self._control.flush()
        for message in self._control.receive():
            if "stop" in message:
                self._shutdown.ask(message["stop"])
            if "leave" in message:
                self._shutdown.leave(message["leave"])
            self._executor.allowed = message.get("seats", self._executor.allowed)
            if "quiet" in message:
                self.quiet = True
            self._partitions += message.get("partitions", [])
            for partition, refs in message.get("cancel", {}).items():
                self._cancelled += [(partition, ref) for ref in refs]
        if self._control.closed and not self._orphaned:
            self._orphaned = True
            event(log, logging.WARNING, "supervisor exited, stopping")
            self._shutdown.ask(self._shutdown_timeout_s)

    def take_partitions(self) -> list[str]:
        """Returns the partitions that the supervisor has found since the last call."""
        partitions, self._partitions = self._partitions, []
        return partitions

    def take_cancelled(self) -> list[tuple[str, str]]:
        """Returns (partition, ref) of the jobs to be cancelled since the last call."""
        cancelled, self._cancelled = self._cancelled, []
        return cancelled
