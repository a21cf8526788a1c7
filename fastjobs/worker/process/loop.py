"""The main loop of a process. It alone talks to the server: each turn sends reports and fetches in one write."""

from __future__ import annotations

from dataclasses import dataclass

from fastjobs._core import Backlog, boot_time_ns
from fastjobs.store.store import Batch, Store
from fastjobs.worker.process.acker import Receipt
from fastjobs.worker.process.canceller import Canceller
from fastjobs.worker.process.executor import Executor
from fastjobs.worker.process.fetcher import Fetcher
from fastjobs.worker.process.lifespan import Lifespan
from fastjobs.worker.process.link import Link
from fastjobs.worker.process.orders import Orders
from fastjobs.worker.process.quarantine import Quarantine
from fastjobs.worker.process.refusals import Refusals
from fastjobs.worker.process.reporter import Reporter
from fastjobs.worker.process.session import Session
from fastjobs.worker.process.shutdown import Shutdown
from fastjobs.worker.process.upkeep import Upkeep
from fastjobs.worker.process.waiting import Waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class MainLoop:
    """The parts of a process, and the order in which one turn uses them."""

    store: Store
    backlog: Backlog
    executor: Executor
    orders: Orders
    shutdown: Shutdown
    lifespan: Lifespan
    upkeep: Upkeep
    quarantine: Quarantine
    canceller: Canceller
    link: Link
    session: Session
    refusals: Refusals
    fetcher: Fetcher
    reporter: Reporter
    waiting: Waiting

    def run(self) -> None:
        """Turns until the process is to end."""
        while not self.shutdown.done:
            self.turn()

    def turn(self) -> None:
        """Does everything that is to be done now, or sleeps until something is."""
        self.upkeep.beat()
        self.orders.read()
        self._work_on_new_partitions()
        self.cancel()
        self.upkeep.interrupt_overdue()
        self.lifespan.end_if_over()
        batch = self.store.batch()
        receipts = self.reporter.add_reports(batch)
        receipts += self.session.keep_alive(batch, self.fetcher.known_request)
        self.fetcher.add_hints(batch)
        fetched = self.fetcher.add_fetch(batch, self._may_fetch())
        if fetched is None:
            self.upkeep.note_fetched()
        self._feed()
        if not len(batch):
            self._sleep()
        elif self.link.exchange(batch):
            self.take_receipts(batch, receipts)
            if fetched is not None:
                self.fetcher.take(fetched.partition, fetched.lease.value)
            self._feed()

    def cancel(self) -> None:
        """Cancels jobs as ordered. Not in the middle of a fetch: the order may mean the jobs that it brings."""
        self.canceller.cancel(self.orders.take_cancelled())

    def take_receipts(self, batch: Batch, receipts: list[Receipt]) -> None:
        """Takes in the replies to reports."""
        for receipt in receipts:
            receipt()
        self.refusals.report(in_doubt=batch.in_doubt)

    def _work_on_new_partitions(self) -> None:
        new = self.orders.take_partitions()
        if new and not self.session.over and not self.shutdown.asked and self.session.open(new):
            self.fetcher.add_partitions(new)

    def _feed(self) -> None:
        """Starts jobs on empty seats; while suspects wait for them, or the lease is in doubt, none may start."""
        if not self.shutdown.asked and not self.quarantine.waits and boot_time_ns() < self.backlog.board.valid_until_ns:
            self.executor.feed()

    def _may_fetch(self) -> bool:
        """Whether anything may be leased now, however little is held."""
        return not self.shutdown.asked and not self.orders.quiet and self.quarantine.empty

    def _sleep(self) -> None:
        # The order to stop may just have been read: nothing would come that ends the sleep.
        if self.shutdown.done or not self.waiting.sleep(self._may_fetch() and self.fetcher.want > 0):
            return
        if not self._may_fetch() and self.fetcher.disarm():
            # A fetch in the last moment may have leased jobs for this session, which does not know of them.
            self.session.audit_within(0)
        if self.fetcher.take_woken(self._may_fetch()):
            self._feed()
            self.waiting.let_threads_start()
