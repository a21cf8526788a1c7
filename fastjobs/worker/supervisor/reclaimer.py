"""Brings the jobs of dead sessions back and forgets old ones; every worker does it, so it needs no leader."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from fastjobs.logs import event
from fastjobs.model.chance import chance
from fastjobs.store.store import Store

log = logging.getLogger("fastjobs.worker")


class Reclaimer:
    """Runs every quarter of a lease, with jitter so that workers do not do it all at once.

    Args:
        store: the supervisor's.
        partitions: the partitions whose sessions to look after.
    """

    def __init__(self, store: Store, partitions: Sequence[str]) -> None:
        self._store = store
        self._partitions = partitions
        self.due_at = 0.0
        #: Partition -> how many entries the log says that were set aside.
        self._set_aside: dict[str, int] = {}
        self._plan()

    def _plan(self) -> None:
        interval_s = self._store.config.reclaim_ms / 1000
        self.due_at = time.monotonic() + interval_s * chance.uniform(0.5, 1.5)

    def run(self) -> int:
        """Gives back what dead sessions held; returns the number of jobs.

        Raises:
            StoreError: the server does not serve.
        """
        self._plan()
        jobs = 0
        for partition in self._partitions:
            while self._store.batch().trim(partition).run():
                pass
            more = True
            while more:
                step = self._store.batch().reclaim(partition).run()
                jobs, more = jobs + step.jobs, step.more
                if step.sessions:
                    event(
                        log,
                        logging.WARNING,
                        "reclaimed jobs of a dead process",
                        queue=partition,
                        jobs=step.jobs,
                    )
            self._report_set_aside(partition)
        return jobs

    def _report_set_aside(self, partition: str) -> None:
        """Logs that entries were set aside, again when there are more."""
        number = self._store.batch().set_aside(partition).run()
        if number > self._set_aside.get(partition, 0):
            event(log, logging.ERROR, "entries set aside, nobody can read them", queue=partition, entries=number)
        self._set_aside[partition] = number
