"""The part of the supervisor that exists once a process has said what the app is: a store, and duties that need it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastjobs.config import Config, WorkerConfig
from fastjobs.logs import event
from fastjobs.server.endpoint import Endpoint
from fastjobs.store.store import Store
from fastjobs.worker.supervisor.burst import BurstEnd
from fastjobs.worker.supervisor.child import Child
from fastjobs.worker.supervisor.definer import Definer
from fastjobs.worker.supervisor.duties import Duty, Guarded
from fastjobs.worker.supervisor.entry import WorkerEntry, WorkerIdentity
from fastjobs.worker.supervisor.heartbeat import Heartbeat, learn
from fastjobs.worker.supervisor.quieting import Quieting
from fastjobs.worker.supervisor.reclaimer import Reclaimer
from fastjobs.worker.supervisor.recurrer import Recurrer
from fastjobs.worker.supervisor.server_calls import ServerCalls
from fastjobs.worker.supervisor.settler import Settler
from fastjobs.worker.supervisor.stopping import EXIT_USAGE, Stopping
from fastjobs.worker.supervisor.watchdog import Watchdog

log = logging.getLogger("fastjobs.supervisor")

#: The supervisor waits less for the server than a process does: signals and children come first.
_SERVER_TIMEOUT_S = 2.0


class Attached:
    """The part of the supervisor that knows the app and its server.

    Args:
        hello: what the first process said about the app.
        worker: which worker this is.
        config: the worker's settings.
        children: its processes.
        watchdog: looks after them.
        stopping: asked for by duties.
        quieting: asked for by an operator.
    """

    def __init__(
        self,
        hello: dict[str, Any],
        worker: WorkerIdentity,
        config: WorkerConfig,
        children: Sequence[Child],
        watchdog: Watchdog,
        stopping: Stopping,
        quieting: Quieting,
    ) -> None:
        self.config = Config(**hello["config"])
        self._worker_id = worker.id
        self._stopping = stopping
        self._quieting = quieting
        self._partitions = list(hello["partitions"])
        self.server = ServerCalls(watchdog)
        timeout_s = min(_SERVER_TIMEOUT_S, self.config.socket_timeout_s)
        self._store = Store(Endpoint(self.config, Path(hello["directory"])).connect(timeout_s), self.config)
        self._entry = WorkerEntry(worker, config, self.config, children, hello["queues"], hello["types"], quieting)
        self.settler = Settler(self._store, worker.name, self.server)
        self._definer = Definer(self._store)
        #: In the order in which a turn runs those that are due.
        self.duties: list[Duty] = [
            self.settler,
            self._heartbeat(children, hello["queues"], watchdog),
            Guarded(Reclaimer(self._store, self._partitions), self.server),
            Guarded(self._definer, self.server, lambda: stopping.asked),
            Guarded(Recurrer(self._store, hello["queues"]), self.server, lambda: stopping.asked),
        ]
        for name in hello["strange_queues"]:
            event(log, logging.WARNING, "no job type and no job uses this queue", queue=name)
        if config.burst:
            self.duties.append(self._burst_end(children))

    def greet(self, child: Child) -> None:
        """Takes a process in that is ready."""
        learn(self._partitions, child.partitions)
        self._definer.learn((child.hello or {}).get("recurring", ()))

    def check_server(self) -> None:
        """Refuses a server that may throw jobs away."""
        info = self.server.guarded(self._store.batch().info("memory").run)
        policy = "noeviction" if info is None else info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            event(
                log,
                logging.CRITICAL,
                "server may evict jobs, maxmemory-policy must be noeviction",
                policy=policy,
            )
            self._stopping.ask(EXIT_USAGE)

    def sign_off(self) -> None:
        """Settles what is left and removes the worker from the list."""
        self.settler.run()
        batch = self._store.batch()
        batch.forget_worker(self._worker_id)
        self.server.answered(batch)

    def _heartbeat(self, children: Sequence[Child], queues: Sequence[str], watchdog: Watchdog) -> Heartbeat:
        return Heartbeat(
            self._worker_id,
            self._store,
            self.server,
            children,
            queues,
            self._partitions,
            self._entry,
            watchdog,
            self._stopping,
            self._quieting,
        )

    def _burst_end(self, children: Sequence[Child]) -> BurstEnd:
        return BurstEnd(self._store, self.server, children, self._partitions, self.settler, self._stopping)
