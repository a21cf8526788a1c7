"""Settles the jobs of dead processes, one process after the other, again and again until the server takes it."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import NamedTuple

from fastjobs.logs import event
from fastjobs.server.backoff import Backoff
from fastjobs.store.store import Store
from fastjobs.worker.supervisor.child import Child
from fastjobs.worker.supervisor.recovery import Recovered, Recovery
from fastjobs.worker.supervisor.server_calls import ServerCalls

log = logging.getLogger("fastjobs.supervisor")


class _Dead(NamedTuple):
    child: Child
    #: How it died.
    cause: str
    #: Whether the jobs it was running are to blame.
    blame: bool


class Settler:
    """Settles the jobs of dead processes by their progress boards; see `Recovery`.

    Args:
        store: of the app.
        worker: the worker's name, stored with errors.
        server: makes the calls.
    """

    def __init__(self, store: Store, worker: str, server: ServerCalls) -> None:
        self._store = store
        self._worker = worker
        self._server = server
        self._dead: list[_Dead] = []
        self._backoff = Backoff(first_s=0.05, cap_s=2.0)
        self._again_at = 0.0

    @property
    def due_at(self) -> float:
        """When there is something to settle, on the monotonic clock; infinite when there is nothing."""
        return self._again_at if self._dead else float("inf")

    @property
    def idle(self) -> bool:
        """Whether everything is settled."""
        return not self._dead

    def add(self, child: Child, cause: str, *, blame: bool) -> None:
        """Takes over a process that has ended.

        Args:
            child: the process.
            cause: how it died, for people.
            blame: whether the jobs it was running are to blame.
        """
        self._dead.append(_Dead(child, cause, blame))
        self._again_at = 0.0

    def run(self) -> None:
        """Settles all it can; what the server cannot take now is due again after a while."""
        for dead in list(self._dead):
            if self._is_damaged(dead.child):
                self._drop(dead)
                continue
            found = self._settle(dead)
            if found is None:
                self._again_at = time.monotonic() + self._backoff.next_s()
                return
            self._backoff.reset()
            self._drop(dead)
            event(
                log,
                logging.INFO,
                "settled jobs of a dead process",
                pid=dead.child.pid,
                finished=found.finished,
                running=found.blamed,
                given_back=found.given_back,
            )

    def _is_damaged(self, child: Child) -> bool:
        """Whether its board cannot be trusted. Then its jobs come back, counted, as those of a vanished worker."""
        if child.board.intact(len(child.partitions)):
            return False
        event(
            log,
            logging.ERROR,
            "board of a dead process is damaged, its jobs return when their lease expires",
            pid=child.pid,
        )
        return True

    def _settle(self, dead: _Dead) -> Recovered | None:
        child = dead.child
        recovery = Recovery(
            self._store,
            child.partitions,
            child.session,
            self._worker,
            dead.cause,
            blame=dead.blame,
            overdue=child.overdue,
            policies=child.policies,
        )
        return self._server.guarded(partial(recovery.run, child.board))

    def _drop(self, dead: _Dead) -> None:
        self._dead.remove(dead)
        dead.child.release()
