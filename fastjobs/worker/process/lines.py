"""Calls a function in another thread, at the next lines that it executes: the one safe way to get into a handler."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import cache
from types import CodeType, FrameType
from typing import Any, Protocol

from fastjobs._core import watch_lines

#: Called with the frame whose line is about to be executed. Ends the watch by True, or by what it raises there.
OnLine = Callable[[FrameType], bool]


class LineWatcher(Protocol):
    """Watches the lines of threads."""

    def watch(self, thread_id: int, frame: FrameType, on_line: OnLine) -> None:
        """Has a function called in another thread; to be repeated, as the thread may have moved on.

        Args:
            thread_id: the thread.
            frame: what it executes.
            on_line: the function. A thread has one at a time, the first.
        """


class TracedLines:
    """For interpreters that trace each thread by itself, up to Python 3.11."""

    def watch(self, thread_id: int, frame: FrameType, on_line: OnLine) -> None:
        """See `LineWatcher`."""
        watch_lines(thread_id, on_line)


class MonitoredLines:
    """For interpreters with `sys.monitoring`: watches the code that the thread is in, whoever executes it."""

    def __init__(self) -> None:
        self._monitoring: Any = sys.monitoring  # type: ignore[attr-defined]
        self._events = self._monitoring.events.LINE | self._monitoring.events.JUMP
        self._tool: int | None = None
        self._watched: set[CodeType] = set()
        self._threads: dict[int, OnLine] = {}

    def watch(self, thread_id: int, frame: FrameType, on_line: OnLine) -> None:
        """See `LineWatcher`."""
        if self._tool is None and not self._register():
            return
        self._threads.setdefault(thread_id, on_line)
        each: FrameType | None = frame
        while each is not None:
            if each.f_code not in self._watched:
                self._watched.add(each.f_code)
                self._monitoring.set_local_events(self._tool, each.f_code, self._events)
            each = each.f_back

    def _register(self) -> bool:
        free = [tool for tool in (3, 4, 1, 0, 2, 5) if self._monitoring.get_tool(tool) is None]
        if not free:
            return False
        self._tool = free[0]
        self._monitoring.use_tool_id(self._tool, "fastjobs")
        for name in ("LINE", "JUMP"):
            self._monitoring.register_callback(self._tool, getattr(self._monitoring.events, name), self._on_event)
        return True

    def _on_event(self, code: CodeType, *_: int) -> None:
        thread_id = threading.get_ident()
        on_line = self._threads.get(thread_id)
        if on_line is not None:
            try:
                over = on_line(sys._getframe(1))
            except BaseException:
                del self._threads[thread_id]
                raise
            if over:
                del self._threads[thread_id]
        if not self._threads and code in self._watched:
            self._watched.discard(code)
            self._monitoring.set_local_events(self._tool, code, 0)


@cache
def line_watcher() -> LineWatcher:
    """Returns what this interpreter can do; one for all, as `sys.monitoring` has few places for tools."""
    return MonitoredLines() if hasattr(sys, "monitoring") else TracedLines()
