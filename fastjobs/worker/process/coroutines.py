"""Finds the asyncio task that a thread runs to its end: the one that `asyncio.run` was given."""

from __future__ import annotations

import sys
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future


class RunningTask(NamedTuple):
    """A task, and the running event loop that a handler waits in until the task is done."""

    loop: AbstractEventLoop
    task: Future[Any]

    @property
    def current(self) -> bool:
        """Whether the calling thread executes this very task, not another one of the loop."""
        from asyncio import current_task  # noqa: PLC0415 - only the app may need it

        return current_task(self.loop) is self.task


def running_task(frame: FrameType | None) -> RunningTask | None:
    """Returns the task that a thread waits for in an event loop; None when it is in no event loop.

    Args:
        frame: what the thread executes.
    """
    if "asyncio" not in sys.modules:
        return None
    from asyncio import Future, Runner  # noqa: PLC0415 - only the app may need it
    from asyncio.base_events import BaseEventLoop  # noqa: PLC0415 - likewise

    while frame is not None:
        loop = task = None
        if frame.f_code is BaseEventLoop.run_until_complete.__code__:
            loop, task = (frame.f_locals.get(name) for name in ("self", "future"))
        elif frame.f_code is Runner.run.__code__:
            # Loops that are no Python code, such as uvloop's, have no frame of their own.
            loop, task = getattr(frame.f_locals["self"], "_loop", None), frame.f_locals.get("task")
        if isinstance(task, Future) and loop is not None and loop.is_running():
            return RunningTask(loop, task)
        frame = frame.f_back
    return None
