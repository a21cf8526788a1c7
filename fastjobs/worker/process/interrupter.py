"""Gets JobTimeout and JobCancelled into running handlers, where they do no harm.

A handler that waits in an event loop has its task cancelled. Any other gets the exception raised at the next line of
its own code where that is safe; see `places`.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from itertools import count
from types import FrameType
from typing import TYPE_CHECKING, Any

from fastjobs._core import Seats, boot_time_ns
from fastjobs.errors import JobInterrupted
from fastjobs.worker.process.coroutines import running_task
from fastjobs.worker.process.lines import OnLine, line_watcher
from fastjobs.worker.process.places import may_interrupt

if TYPE_CHECKING:
    from asyncio import Future

#: How often requests that have not got through are looked after, in seconds.
PURSUE_S = 0.02
#: An event loop has this long to cancel a task, in nanoseconds; then what it runs is interrupted like any other code.
_LOOP_NS = 200_000_000
#: So many lines are looked at each time: more than a call of `logging` or `queue` has, after which comes a safe one.
_LINES = 250


class Interrupter:
    """Interrupts handlers. The main loop calls it, and repeats `pursue` while there are requests that wait.

    Args:
        seats: where requests wait.
        gentle_s: for how long code that looks like cleaning up is spared.
    """

    def __init__(self, seats: Seats, gentle_s: float) -> None:
        self._seats = seats
        self._gentle_ns = int(gentle_s * 1e9)
        self._lines = line_watcher()

    def interrupt(self, seat: int, exception: type[JobInterrupted], started_ns: int) -> bool:
        """Asks the job that started on a seat at that time to end; returns False when it is too late."""
        if not self._seats.ask(seat, exception, started_ns):
            return False
        self.pursue()
        return True

    def pursue(self) -> None:
        """Looks after the handlers that have not got what they were asked."""
        unheard = self._seats.unheard()
        frames = sys._current_frames() if unheard else {}
        for thread_id, asked_ns in unheard:
            frame = frames.get(thread_id)
            if frame is not None:
                self._pursue(thread_id, asked_ns, frame)

    def _pursue(self, thread_id: int, asked_ns: int, frame: FrameType) -> None:
        running = running_task(frame)
        if running is not None and boot_time_ns() < asked_ns + _LOOP_NS:
            # A loop that has just been closed raises.
            with suppress(RuntimeError):
                running.loop.call_soon_threadsafe(self._cancel, running.task)
        else:
            self._lines.watch(thread_id, frame, _at_most(_LINES, self._on_line))

    def _cancel(self, task: Future[Any]) -> None:
        """Called by the event loop of a handler; perhaps later, if the next job uses the same loop."""
        if not task.done() and self._seats.take_request() is not None:
            task.cancel()

    def _on_line(self, frame: FrameType) -> bool:
        """Called in the thread of a handler before each line. Raises in it, or returns whether that is needless now."""
        asked_ns = self._seats.unheard_since_ns()
        if not asked_ns:
            return True
        now_ns = boot_time_ns()
        if not may_interrupt(frame, gently=now_ns < asked_ns + self._gentle_ns):
            return False
        running = running_task(frame)
        if running is not None and now_ns < asked_ns + _LOOP_NS:
            return False
        request = self._seats.take_request()
        if request is None:
            return True
        if running is not None and not running.current:
            # What is raised in any other task ends that one only.
            running.task.cancel()
        raise request()


def _at_most(lines: int, on_line: OnLine) -> OnLine:
    """Ends a watch after so many lines: one that is watched takes hundreds of times as long, also if it is spared.

    Args:
        lines: how many.
        on_line: called for each of them.
    """
    left = count(lines - 1, -1)
    return lambda frame: on_line(frame) or next(left) <= 0
