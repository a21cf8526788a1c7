"""Lets the main loop sleep until there is something to do."""

from __future__ import annotations

import os
import select
import time

from fastjobs._core import Backlog, boot_time_ns
from fastjobs.worker.control import ControlLine
from fastjobs.worker.process.fetcher import Fetcher
from fastjobs.worker.process.interrupter import PURSUE_S
from fastjobs.worker.process.quarantine import Quarantine
from fastjobs.worker.process.reporter import Reporter
from fastjobs.worker.process.shutdown import Shutdown
from fastjobs.worker.process.sizing import Sizing
from fastjobs.worker.process.waker import WAIT_S

#: How often a waiting loop looks whether it is stalled.
_STALL_CHECK_S = 0.05
#: Threads that were woken get this long before the loop goes on, in milliseconds; most have run their job by then.
_START_MS = 1
#: How exactly timeouts are kept.
_TIMEOUT_STEP_S = 0.01


class Waiting:
    """The sleep of the main loop.

    Args:
        notify_fd: the event file that executors write to, through the backlog.
        control: ends a sleep with a message of the supervisor.
        backlog: is asked to give notice.
        sizing: how few unstarted jobs are to end a sleep.
        fetcher: waits for hints meanwhile.
        reporter: when results have to be reported.
        quarantine: suspects that wait for their turn.
        shutdown: when the process ends.
        beat_s: the longest sleep.
    """

    def __init__(
        self,
        notify_fd: int,
        control: ControlLine,
        backlog: Backlog,
        sizing: Sizing,
        fetcher: Fetcher,
        reporter: Reporter,
        quarantine: Quarantine,
        shutdown: Shutdown,
        beat_s: float,
    ) -> None:
        self._notify_fd = notify_fd
        self._notified = select.poll()
        self._notified.register(notify_fd, select.POLLIN)
        self._control = control
        self._backlog = backlog
        self._sizing = sizing
        self._fetcher = fetcher
        self._reporter = reporter
        self._quarantine = quarantine
        self._shutdown = shutdown
        self._beat_s = beat_s

    def sleep(self, wants: bool) -> bool:
        """Sleeps until there is something to do; returns False when that was before the sleep began.

        Args:
            wants: whether jobs are wanted, so that a hint may end the sleep.
        """
        looking = not wants and not self._shutdown.asked
        self._backlog.low_water = self._sizing.target() // 2 if looking else -1
        self._backlog.waiting = True
        if self._reporter.anything_new(looking):
            self._backlog.waiting = False
            return False
        if wants:
            self._fetcher.arm()
        events = self._poll().poll(max(0.0, self._longest_s(wants)) * 1000)
        self._backlog.waiting = False
        if any(descriptor == self._notify_fd for descriptor, _ in events):
            os.eventfd_read(self._notify_fd)
        return True

    def let_threads_start(self) -> None:
        """Leaves the interpreter to the threads just woken: otherwise they would wait for this one."""
        self._backlog.waiting = True
        if self._notified.poll(_START_MS):
            os.eventfd_read(self._notify_fd)
        self._backlog.waiting = False

    def _poll(self) -> select.poll:
        poll = select.poll()
        poll.register(self._notify_fd, select.POLLIN)
        if not self._control.closed:
            poll.register(self._control, self._control.awaited)
        for descriptor in self._fetcher.descriptors():
            poll.register(descriptor, select.POLLIN)
        return poll

    def _longest_s(self, wants: bool) -> float:
        """How long to sleep at most, in seconds."""
        now = time.monotonic()
        times = [WAIT_S, self._beat_s, self._fetcher.next_look_s(wants), *self._timeouts_s()]
        times += [at - now for at in (self._reporter.report_at, self._shutdown.end_at) if at is not None]
        if self._backlog.unstarted or self._quarantine.suspects:
            times.append(_STALL_CHECK_S)
        return min(times)

    def _timeouts_s(self) -> list[float]:
        """In how many seconds timeouts have to be looked after."""
        times = []
        seats = self._backlog.seats
        if seats.unheard():
            times.append(PURSUE_S)
        deadline_ns = seats.next_deadline_ns()
        if deadline_ns:
            times.append((deadline_ns - boot_time_ns()) / 1e9)
        if self._backlog.unstarted and seats.shortest_timeout_ns:
            # A job that starts while this thread sleeps may be due before any that runs now.
            times.append(max(_TIMEOUT_STEP_S, seats.shortest_timeout_ns / 1e9))
        return times
