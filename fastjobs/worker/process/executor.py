"""The threads that run jobs. They sleep on a queue of tokens; the jobs themselves come from the backlog."""

from __future__ import annotations

import logging
import threading
from queue import SimpleQueue

from fastjobs._core import Backlog
from fastjobs.logs import event

log = logging.getLogger("fastjobs.worker")


class Executors:
    """The executor threads of one process.

    Args:
        backlog: what they take jobs from.
        threads: how many.
    """

    def __init__(self, backlog: Backlog, threads: int) -> None:
        self._backlog = backlog
        self._tokens: SimpleQueue[None] = SimpleQueue()
        # One flag per thread, written by that thread only: a shared count would need a lock.
        self._busy = [False] * threads

    def start(self) -> None:
        """Starts the threads. They are daemons: a handler that never returns must not keep the process."""
        for number in range(len(self._busy)):
            name = f"fastjobs-executor-{number}"
            threading.Thread(target=self._main, args=(number,), name=name, daemon=True).start()

    @property
    def idle(self) -> int:
        """How many threads run nothing."""
        return self._busy.count(False)

    def feed(self) -> None:
        """Wakes as many idle threads as there are jobs for; one wake-up too many does no harm."""
        for _ in range(min(self.idle, self._backlog.unstarted)):
            self._tokens.put(None)

    def stop(self) -> None:
        """Lets every thread end after the job it is running."""
        self._backlog.stopped = True
        for _ in self._busy:
            self._tokens.put(None)

    def _main(self, number: int) -> None:
        while True:
            self._tokens.get()
            if self._backlog.stopped:
                return
            self._busy[number] = True
            try:
                self._backlog.execute(number)
            except BaseException:
                # An exception thrown into the thread from outside, between two jobs.
                event(log, logging.ERROR, "executor thread interrupted, continuing", exc_info=True, thread=number)
            finally:
                self._busy[number] = False
                self._backlog.notify()
