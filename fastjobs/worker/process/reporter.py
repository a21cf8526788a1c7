"""Decides what the next batch reports: results that are due, and leased jobs to give back, put off or run alone."""

from __future__ import annotations

import time

from fastjobs._core import Backlog
from fastjobs.store.store import Batch
from fastjobs.worker.leases import HeldLeases
from fastjobs.worker.process.acker import Acker, Receipt
from fastjobs.worker.process.executor import Executor
from fastjobs.worker.process.fetcher import Fetcher
from fastjobs.worker.process.intake import Intake
from fastjobs.worker.process.orders import Orders
from fastjobs.worker.process.quarantine import Quarantine
from fastjobs.worker.process.shutdown import Shutdown
from fastjobs.worker.process.sizing import Sizing

#: How long a result may wait to be reported with others, while all seats are busy, or some are.
_REPORT_BUSY_S = 0.1
_REPORT_IDLE_S = 0.005


class Reporter:
    """Adds reports to the batches of the main loop.

    Args:
        acker: packs the reports.
        fetcher: looks for the jobs that a report lets run again.
        backlog: the unstarted jobs.
        executor: how many seats are empty.
        leases: the outcomes that wait to be reported.
        sizing: how many jobs to hold.
        intake: the jobs that this process cannot run.
        quarantine: while suspects wait, everything else is given back.
        orders: whether nothing more is to be started.
        shutdown: whether the process ends.
    """

    def __init__(
        self,
        acker: Acker,
        fetcher: Fetcher,
        backlog: Backlog,
        executor: Executor,
        leases: HeldLeases,
        sizing: Sizing,
        intake: Intake,
        quarantine: Quarantine,
        orders: Orders,
        shutdown: Shutdown,
    ) -> None:
        self._acker = acker
        self._fetcher = fetcher
        self._backlog = backlog
        self._executor = executor
        self._leases = leases
        self._sizing = sizing
        self._intake = intake
        self._quarantine = quarantine
        self._orders = orders
        self._shutdown = shutdown
        self._reported = 0
        #: When results are reported at the latest, on the monotonic clock; None = none wait.
        self.report_at: float | None = None

    def add_reports(self, batch: Batch) -> list[Receipt]:
        """Adds acks, and releases of jobs that this process cannot or should not start."""
        receipts: list[Receipt] = []
        if self._report_due():
            self._reported = self._backlog.executed
            self.report_at = None
            receipts += self._acker.add_acks(batch)
            if self._acker.retry_in_s is not None:
                self._fetcher.look_within(self._acker.retry_in_s)
        receipts += self._add_releases(batch)
        receipts += self._acker.add_postponed(batch, self._intake.put_off)
        self._intake.put_off.clear()
        receipts += self._acker.add_releases(batch, self._quarantine.start_next())
        return receipts

    def add_rest(self, batch: Batch) -> list[Receipt]:
        """Adds, at the end of the process, all results and everything that did not start."""
        return self._acker.add_releases(batch, self._backlog.withdraw()) + self._acker.add_acks(batch)

    def anything_new(self, looking: bool) -> bool:
        """Whether a job ended, since the last reports, in a way of which no executor gives notice.

        Args:
            looking: whether to look for more jobs once few are left.
        """
        if self._backlog.executed == self._reported and not self._unusual():
            return False
        idle = self._executor.idle == self._backlog.board.seats
        return idle or (looking and self._backlog.unstarted <= self._backlog.low_water)

    def _add_releases(self, batch: Batch) -> list[Receipt]:
        if self._shutdown.asked:
            return self._acker.add_releases(batch, self._backlog.withdraw() + self._quarantine.withdraw())
        if self._orders.quiet or self._quarantine.waits or self._sizing.stalled():
            return self._acker.add_releases(batch, self._backlog.withdraw())
        if self._sizing.excess(target := self._sizing.target()):
            return self._acker.add_releases(batch, self._backlog.withdraw(target))
        return []

    def _report_due(self) -> bool:
        """Whether results should be reported now rather than together with later ones."""
        if self._reported == self._backlog.executed and not self._unusual():
            return False
        idle = self._executor.idle
        if self._unusual() or idle == self._backlog.board.seats or self._sizing.refill_due():
            return True
        now = time.monotonic()
        if self.report_at is None:
            self.report_at = now + (_REPORT_IDLE_S if idle else _REPORT_BUSY_S)
        return now >= self.report_at

    def _unusual(self) -> bool:
        return any(lease.outcomes for lease in self._leases)
