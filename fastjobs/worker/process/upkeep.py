"""The duties of the main loop that need no server: heartbeats on the board, orders, timeouts."""

from __future__ import annotations

import logging
import time

from fastjobs._core import Backlog, boot_time_ns
from fastjobs.logs import event
from fastjobs.worker.leases import HeldLeases
from fastjobs.worker.process.executor import Executor
from fastjobs.worker.process.interruptions import Interruptions
from fastjobs.worker.process.orders import Orders
from fastjobs.worker.process.quarantine import Quarantine

log = logging.getLogger("fastjobs.worker")


class Upkeep:
    """The regular duties of a process that need no server.

    Args:
        backlog: unstarted and running jobs, and the board.
        executor: how many seats are empty.
        interruptions: ends jobs whose time is over.
        leases: the leases that the process holds.
        quarantine: while a suspect runs, the process does not fetch.
        orders: read at each turn.
    """

    def __init__(
        self,
        backlog: Backlog,
        executor: Executor,
        interruptions: Interruptions,
        leases: HeldLeases,
        quarantine: Quarantine,
        orders: Orders,
    ) -> None:
        self._backlog = backlog
        self._board = backlog.board
        self._executor = executor
        self._interruptions = interruptions
        self._leases = leases
        self._quarantine = quarantine
        self._orders = orders

    def run(self) -> None:
        """Does all of it: for a loop that waits for the server."""
        self.beat()
        self._orders.read()
        self.interrupt_overdue()

    def beat(self) -> None:
        """Shows on the board that the loop turns, and whether the process is idle."""
        now_ns = boot_time_ns()
        offset_us = (time.time_ns() - now_ns) // 1000
        busy = self._backlog.unstarted or self._executor.idle < self._board.seats
        self._board.beat(offset_us, not busy and not len(self._leases))

    def note_fetched(self) -> None:
        """Shows that nothing keeps this process from fetching; see `Watchdog.retire_deaf`."""
        usable = max(1, len(self._board.running())) if self._quarantine.apart else self._executor.allowed
        self._board.fetched(usable)

    def interrupt_overdue(self) -> None:
        """Interrupts jobs that run longer than their timeout, and goes on with what could not be interrupted yet."""
        self._executor.pursue()
        for seat, started_ns in self._backlog.seats.overdue():
            if self._interruptions.time_out(seat, started_ns):
                event(log, logging.WARNING, "job timed out, interrupting it", seat=seat)
