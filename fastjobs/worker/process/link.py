"""Sends the batches of the main loop, and tries again through outages until they are answered."""

from __future__ import annotations

import logging

from fastjobs import errors
from fastjobs.logs import event
from fastjobs.server.exchanges.single import WORKER_RETRIES
from fastjobs.store.store import Batch
from fastjobs.worker.leases import HeldLeases
from fastjobs.worker.process.shutdown import Shutdown
from fastjobs.worker.process.upkeep import Upkeep
from fastjobs.worker.server_outage import Outage

log = logging.getLogger("fastjobs.worker")


class Link:
    """The way to the server.

    Args:
        leases: with nothing to report, there is nothing to wait for at the end.
        shutdown: limits the tries.
        upkeep: goes on between tries.
    """

    def __init__(self, leases: HeldLeases, shutdown: Shutdown, upkeep: Upkeep) -> None:
        self._leases = leases
        self._shutdown = shutdown
        self._upkeep = upkeep
        self._outage = Outage()
        #: Whether a batch was given up, and the session with it.
        self.gave_up = False

    def exchange(self, batch: Batch) -> bool:
        """Sends a batch until it is answered; returns False when the process has to end before that."""
        try:
            batch.run(WORKER_RETRIES, None, self._gives_up)
        except errors.StoreError as error:
            event(log, logging.ERROR, "gave up reporting jobs, lease will expire", reason=error)
            self._shutdown.end_within(0)
            self.gave_up = True
            return False
        self._outage.ended()
        return True

    def _gives_up(self, failure: errors.StoreError) -> bool:
        self._outage.failed(failure)
        if not isinstance(failure, errors.ConnectionLost | errors.Unavailable):
            # A refusal is an answer, and a new process would get the same.
            self._upkeep.note_fetched()
        self._upkeep.run()
        if not self._shutdown.done:
            return False
        return not len(self._leases) or self._shutdown.out_of_time
