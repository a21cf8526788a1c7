"""The end of a burst: the worker stops when all of its queues are drained."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from fastjobs.logs import event
from fastjobs.model.status import Status
from fastjobs.store.store import Store
from fastjobs.worker.supervisor.child import Child
from fastjobs.worker.supervisor.server_calls import ServerCalls
from fastjobs.worker.supervisor.settler import Settler
from fastjobs.worker.supervisor.stopping import Stopping

log = logging.getLogger("fastjobs.supervisor")

#: How often a burst worker with idle processes looks whether all is done.
_CHECK_S = 0.05
#: A job with one of these statuses is still to be run.
_UNDONE = (Status.QUEUED, Status.EXECUTING, Status.RETRYING)


class BurstEnd:
    """A duty of workers that run with `--burst`.

    Args:
        store: of the app.
        server: makes the calls.
        children: the worker's processes.
        partitions: the partitions to look at.
        settler: what dead processes left has to be settled first.
        stopping: asked for when nothing is left to do.
    """

    def __init__(
        self,
        store: Store,
        server: ServerCalls,
        children: Sequence[Child],
        partitions: Sequence[str],
        settler: Settler,
        stopping: Stopping,
    ) -> None:
        self._store = store
        self._server = server
        self._children = children
        self._partitions = partitions
        self._settler = settler
        self._stopping = stopping
        self.due_at = 0.0

    def run(self) -> None:
        """Stops the worker when nothing is queued, executing or waiting for a retry in any of the queues."""
        self.due_at = time.monotonic() + _CHECK_S
        if self._stopping.asked or not self._settler.idle or not self._all_idle():
            return
        batch = self._store.batch()
        undone = [batch.counters(name, _UNDONE) for name in self._partitions]
        if self._server.answered(batch) and not any(number for reply in undone for number in reply.value):
            event(log, logging.INFO, "all queues drained, stopping")
            self._stopping.ask()

    def _all_idle(self) -> bool:
        return all(child.board.idle for child in self._children if child.hello is not None)
