"""The session of one process: opened in each partition, audited, renewed when the supervisor does not, lost, closed."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from functools import partial

from fastjobs._core import Board, boot_time_ns
from fastjobs.logs import event
from fastjobs.model.outcome import Outcome, Run
from fastjobs.store.batch import Reply
from fastjobs.store.replies import Renewed
from fastjobs.store.store import Batch, Store
from fastjobs.worker.leases import HeldLeases
from fastjobs.worker.process.acker import Receipt
from fastjobs.worker.process.link import Link
from fastjobs.worker.process.refusals import Refusals
from fastjobs.worker.process.shutdown import Shutdown
from fastjobs.worker.spec import ProcessSpec

log = logging.getLogger("fastjobs.worker")


class Session:
    """The owner of the process's leases, in all partitions that it works on.

    Args:
        spec: the session's id, and how long running jobs have when it is lost.
        store: the process's.
        link: the way to the server.
        board: shows until when jobs may be started.
        leases: the leases that the process holds.
        refusals: reports that were refused when the session was lost.
        shutdown: asked for when the session is lost.
    """

    def __init__(
        self,
        spec: ProcessSpec,
        store: Store,
        link: Link,
        board: Board,
        leases: HeldLeases,
        refusals: Refusals,
        shutdown: Shutdown,
    ) -> None:
        self._spec = spec
        self._store = store
        self._link = link
        self._board = board
        self._leases = leases
        self._refusals = refusals
        self._shutdown = shutdown
        self._lost = False
        self._audit_at = 0.0
        #: The partitions worked on, as the board numbers them.
        self.partitions: list[str] = []

    @property
    def over(self) -> bool:
        """Whether the session's jobs are, or will be, others' to run."""
        return self._lost or self._link.gave_up

    def open(self, partitions: Sequence[str]) -> bool:
        """Opens the session in more partitions; returns False when it is lost or the process has to end."""
        batch = self._store.batch()
        opened = [batch.open(name, self._spec.session) for name in partitions]
        if not self._link.exchange(batch) or not all(reply.value for reply in opened):
            self.lose()
            return False
        self.partitions += partitions
        return True

    def begin(self, valid_until_ns: int) -> None:
        """Lets jobs start, now that the session is open."""
        if not self.over:
            self._board.valid_until_ns = valid_until_ns

    def valid_from_now(self) -> int:
        """Returns until when jobs may be started if a renewal sent now succeeds: well within the lease."""
        return boot_time_ns() + self._store.config.lease_ms * 1_000_000 * 2 // 3

    def audit_within(self, seconds: float) -> None:
        """Sets the time of the next audit."""
        self._audit_at = time.monotonic() + seconds

    def keep_alive(self, batch: Batch, known_request: int) -> list[Receipt]:
        """Adds the audit, and the renewals that the supervisor should have made but did not.

        Args:
            batch: what is sent next.
            known_request: number of the last fetch whose reply is known.
        """
        return [*self._audit(batch, known_request), *self._renew(batch)]

    def _audit(self, batch: Batch, known_request: int) -> list[Receipt]:
        if time.monotonic() < self._audit_at:
            return []
        self.audit_within(self._store.config.lease_ms / 1000)
        receipts: list[Receipt] = []
        for partition in self.partitions:
            fences = [lease.fence for lease in self._leases if lease.partition == partition]
            audited = batch.audit(partition, self._spec.session, known_request, fences)
            receipts.append(partial(self._take_audit, audited))
        return receipts

    def _renew(self, batch: Batch) -> list[Receipt]:
        left_ns = self._board.valid_until_ns - boot_time_ns()
        if left_ns >= self._store.config.lease_ms * 1_000_000 // 3:
            return []
        valid_until_ns = self.valid_from_now()
        renewals = [batch.renew(partition, [self._spec.session]) for partition in self.partitions]
        return [partial(self._take_renewal, renewed, valid_until_ns) for renewed in renewals]

    def _take_audit(self, audited: Reply[int]) -> None:
        if audited.value < 0:
            self.lose()
        elif audited.value > 0:
            event(log, logging.WARNING, "released jobs that this process never received", jobs=audited.value)

    def _take_renewal(self, renewed: Reply[Renewed], valid_until_ns: int) -> None:
        if renewed.value.alive[0]:
            self._board.valid_until_ns = max(self._board.valid_until_ns, valid_until_ns)
        else:
            self.lose()

    def lose(self, partition: str = "", refused: Sequence[Run | Outcome] = ()) -> None:
        """Notes that the jobs belong to others now: nothing more starts, and the process ends with its running jobs.

        Args:
            partition: of the reports that were refused.
            refused: those reports.
        """
        self._refusals.add(partition, refused)
        if not self.over:
            self._lost = True
            self._board.valid_until_ns = 0
            event(log, logging.ERROR, "lease lost, its jobs will run elsewhere")
            self._shutdown.ask(self._spec.shutdown_timeout_s)

    def close(self) -> None:
        """Gives back everything that the session still holds, and ends it."""
        for partition in self.partitions:
            while not self.over:
                batch = self._store.batch()
                closed = batch.close(partition, self._spec.session)
                if not self._link.exchange(batch) or closed.value.closed:
                    break
