"""Runs jobs in threads, one per seat. They sleep on a queue of tokens; the jobs themselves come from the backlog."""

from __future__ import annotations

import logging
import threading
from queue import SimpleQueue

from fastjobs._core import Backlog
from fastjobs.errors import JobInterrupted
from fastjobs.logs import event
from fastjobs.worker.process.interrupter import Interrupter

log = logging.getLogger("fastjobs.worker")


class ThreadExecutor:
    """The executor threads of one process.

    Args:
        backlog: what they take jobs from; it has one seat per thread.
        interrupter: raises exceptions in them.
        allowed: how many of them may run jobs at first.
    """

    def __init__(self, backlog: Backlog, interrupter: Interrupter, allowed: int) -> None:
        self._backlog = backlog
        self._interrupter = interrupter
        self._tokens: SimpleQueue[None] = SimpleQueue()
        # One flag per seat, written by its thread only: a shared count would need a lock.
        self._busy = [False] * backlog.board.seats
        #: How many threads may run jobs at a time.
        self.allowed = allowed

    def start(self) -> None:
        """Starts the threads. They are daemons: a handler that never returns must not keep the process."""
        for seat in range(len(self._busy)):
            name = f"fastjobs-executor-{seat}"
            threading.Thread(target=self._main, args=(seat,), name=name, daemon=True).start()

    @property
    def idle(self) -> int:
        """How many threads run nothing."""
        return self._busy.count(False)

    @property
    def free(self) -> int:
        """How many more threads may run jobs now."""
        return max(0, self.allowed - self._busy.count(True))

    def feed(self) -> None:
        """Wakes as many idle threads as there are jobs for; one wake-up too many does no harm."""
        for _ in range(min(self.free, self._backlog.unstarted)):
            self._tokens.put(None)

    def interrupt(self, seat: int, exception: type[JobInterrupted], started_ns: int) -> bool:
        """Raises an exception in the handler that started on a seat at that time; returns False if it is too late."""
        return self._interrupter.interrupt(seat, exception, started_ns)

    def pursue(self) -> None:
        """Looks after the handlers in which exceptions could not be raised yet."""
        self._interrupter.pursue()

    def stop(self) -> None:
        """Lets every thread end after the job it is running."""
        self._backlog.stopped = True
        for _ in self._busy:
            self._tokens.put(None)

    def _main(self, seat: int) -> None:
        while True:
            self._tokens.get()
            if self._backlog.stopped:
                return
            self._busy[seat] = True
            try:
                # More may have been woken than are allowed to run.
                if self._busy.count(True) <= self.allowed:
                    self._backlog.execute(seat)
            except BaseException:
                # An exception thrown into the thread from outside, between two jobs.
                event(log, logging.ERROR, "executor thread interrupted, continuing", exc_info=True, seat=seat)
            finally:
                self._busy[seat] = False
                self._backlog.notify()
