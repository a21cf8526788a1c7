"""Decides how many jobs to hold unstarted: enough to keep all seats busy, and no more than that."""

from __future__ import annotations

import math

from fastjobs._core import MAX_FETCH_JOBS, Backlog, Board, boot_time_ns
from fastjobs.worker.leases import HeldLeases
from fastjobs.worker.process.executor import Executor
from fastjobs.worker.process.lifespan import Lifespan

#: Work to keep leased but unstarted, in seconds of each seat: it covers a round trip many times over, and a job of
#: another process waits behind no more than this.
_HORIZON_S = 0.075
#: With so many times as much work in hand, the process gives part of it back.
_EXCESS_HORIZONS = 4
#: The assumed cost of a job before one has been run: it makes the first lease small.
_FIRST_GUESS_S = 0.002
#: Jobs slower than this are leased one per idle seat: a round trip costs little compared with them.
_SLOW_JOB_S = 0.05
#: Unstarted jobs behind seats that have all been busy this long are given back for other processes.
_STALLED_S = 0.1
#: With so many bytes of unpacked payloads leased, jobs are leased for idle seats only.
_MAX_HELD_BYTES = 64 << 20
#: Weight of the newest measurement in the average.
_SMOOTHING = 0.3


class Sizing:
    """How many jobs to hold and to ask for.

    Args:
        board: the progress board.
        backlog: the unstarted jobs, and how long jobs have taken.
        leases: the leases that the process holds.
        executor: how many seats may be taken.
        lifespan: how many more jobs the process may start.
        batch_size: most jobs to hold unstarted; 1 runs strictly by priority.
    """

    def __init__(
        self,
        board: Board,
        backlog: Backlog,
        leases: HeldLeases,
        executor: Executor,
        lifespan: Lifespan,
        batch_size: int,
    ) -> None:
        self._board = board
        self._backlog = backlog
        self._leases = leases
        self._executor = executor
        self._lifespan = lifespan
        self._batch_size = batch_size
        self._average_s = _FIRST_GUESS_S
        self._measured = (0, 0)

    def target(self) -> int:
        """Returns how many unstarted jobs to hold while all seats that may be taken are busy."""
        self._measure()
        if self._batch_size == 1 or self._average_s > _SLOW_JOB_S or self._all_busy_for(_SLOW_JOB_S):
            return 0
        ideal = math.ceil(self._executor.allowed * _HORIZON_S / self._average_s)
        return min(max(ideal, self._executor.allowed), self._batch_size)

    def refill_due(self) -> bool:
        """Whether so few unstarted jobs are left that it is time for the next fetch."""
        return self._backlog.unstarted <= self.target() // 2

    def excess(self, target: int) -> bool:
        """Whether so many jobs were leased, before their cost was known, that other processes should have some."""
        unstarted = self._backlog.unstarted
        seats = self._executor.allowed
        waits_s = unstarted * self._average_s / max(1, seats)
        return unstarted > 2 * target + seats and waits_s > _EXCESS_HORIZONS * _HORIZON_S

    def stalled(self) -> bool:
        """Whether unstarted jobs wait behind seats that are all busy with slow ones."""
        return self._backlog.unstarted > 0 and self._all_busy_for(_STALLED_S)

    def want(self) -> int:
        """Returns how many jobs to ask for now; 0 while enough are held."""
        target, unstarted = self.target(), self._backlog.unstarted
        if len(self._leases) >= self._board.slots:
            return 0
        if self._leases.size > _MAX_HELD_BYTES:
            target = 0
        free = self._executor.free
        enough = max(target, free) if unstarted <= target // 2 else free
        return max(0, min(enough - unstarted, self._lifespan.left, self._batch_size, MAX_FETCH_JOBS))

    def _all_busy_for(self, seconds: float) -> bool:
        """Whether every seat that may be taken has been busy with its job for longer than that."""
        running = self._board.running()
        if len(running) < self._executor.allowed:
            return False
        now_ns = boot_time_ns()
        return all((now_ns - started_ns) / 1e9 > seconds for *_, started_ns in running)

    def _measure(self) -> None:
        """Follows the average cost of finished jobs."""
        executed, busy_ns = self._backlog.executed, self._backlog.busy_ns
        new_jobs = executed - self._measured[0]
        if new_jobs > 0:
            newest_s = (busy_ns - self._measured[1]) / new_jobs / 1e9
            self._average_s += _SMOOTHING * (max(newest_s, 1e-9) - self._average_s)
            self._measured = (executed, busy_ns)
