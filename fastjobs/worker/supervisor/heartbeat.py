"""The heartbeat: renews the sessions of the processes, and passes on what the server has for them."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence

from fastjobs._core import boot_time_ns
from fastjobs.logs import event
from fastjobs.store.replies import Renewed
from fastjobs.store.store import Store
from fastjobs.worker.supervisor.child import Child
from fastjobs.worker.supervisor.entry import WorkerEntry
from fastjobs.worker.supervisor.quieting import Quieting
from fastjobs.worker.supervisor.server_calls import ServerCalls
from fastjobs.worker.supervisor.stopping import Stopping
from fastjobs.worker.supervisor.watchdog import Watchdog

log = logging.getLogger("fastjobs.supervisor")


class Heartbeat:
    """A duty, due every sixth of a lease.

    Args:
        worker_id: names this run of the worker.
        store: of the app.
        server: makes the calls.
        children: the worker's processes.
        queues: the queues it works on.
        partitions: their known partitions; this adds those that producers have begun to use.
        entry: the worker's entry in the list of workers.
        watchdog: looks at the processes while it is known that the server answers.
        stopping: asked for when an operator ordered it.
        quieting: the same.
    """

    def __init__(
        self,
        worker_id: str,
        store: Store,
        server: ServerCalls,
        children: Sequence[Child],
        queues: Sequence[str],
        partitions: list[str],
        entry: WorkerEntry,
        watchdog: Watchdog,
        stopping: Stopping,
        quieting: Quieting,
    ) -> None:
        self._worker_id = worker_id
        self._store = store
        self._server = server
        self._children = children
        self._queues = queues
        self._partitions = partitions
        self._entry = entry
        self._watchdog = watchdog
        self._stopping = stopping
        self._quieting = quieting
        self.due_at = 0.0

    def run(self) -> None:
        """Renews the processes' sessions and the worker's entry, and looks at the size of the processes."""
        config = self._store.config
        self.due_at = time.monotonic() + config.beat_ms / 1000
        ready = [child for child in self._children if child.hello is not None]
        self._watchdog.replace_large(ready)
        valid_until_ns = boot_time_ns() + config.lease_ms * 1_000_000 * 2 // 3
        batch = self._store.batch()
        sessions = [child.session for child in ready]
        renewals = {name: batch.renew(name, sessions) for name in self._partitions} if ready else {}
        batch.describe_worker(self._worker_id, self._entry.encode())
        order = batch.order_for(self._worker_id)
        used = batch.used_partitions()
        if not self._server.answered(batch):
            return
        self._watchdog.retire_deaf(ready, config)
        self._obey(order.value)
        self._pass_on(ready, {name: reply.value for name, reply in renewals.items()}, valid_until_ns)
        self._spread(ready, used.value)

    def _pass_on(self, ready: Sequence[Child], renewed: Mapping[str, Renewed], valid_until_ns: int) -> None:
        """Shows processes that they may go on, and which jobs to cancel."""
        cancelling = {(name, ref) for name, found in renewed.items() for ref in found.cancelling}
        for position, child in enumerate(ready):
            if all(renewed[name].alive[position] for name in child.partitions):
                child.board.valid_until_ns = max(child.board.valid_until_ns, valid_until_ns)
            child.cancel(cancelling)

    def _spread(self, ready: Sequence[Child], used: Sequence[str]) -> None:
        """Makes the processes work on partitions that producers have begun to use."""
        for queue in self._queues:
            learn(self._partitions, self._store.known_partitions(queue, used))
        for child in ready:
            child.work_on(self._partitions)

    def _obey(self, order: bytes | None) -> None:
        """Does what an operator asked for; see `operating.workers`."""
        if order == b"stop" and not self._stopping.asked:
            event(log, logging.INFO, "stop requested by an operator")
            self._stopping.ask()
        if order == b"quiet" and not self._quieting.asked:
            event(log, logging.INFO, "quiet requested by an operator")
            self._quieting.ask()


def learn(known: list[str], partitions: Sequence[str]) -> None:
    """Adds the partitions that are not known yet, in place: others hold the list as well."""
    known += [name for name in partitions if name not in known]
