"""Writes the events of a process in a thread of its own, so that no thread of fastjobs waits for a lock of `logging`.

Handlers of jobs log through the same `logging` handlers, and may hold their locks for long: while a pipe is full, or
for ever in a logging handler that hangs.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from queue import SimpleQueue

from fastjobs.logs import Line, divert, event, write

log = logging.getLogger("fastjobs.worker")

#: So many lines may wait to be written; further ones are dropped and counted.
_MOST_WAITING = 10_000


class LogWriter:
    """Takes over all lines that `event` is called with in this process, and writes them in order."""

    def __init__(self) -> None:
        self._lines: SimpleQueue[Line | None] = SimpleQueue()
        self._dropped = 0
        self._thread = threading.Thread(target=self._main, name="fastjobs-log", daemon=True)

    def start(self) -> None:
        """Begins to take lines over."""
        self._thread.start()
        divert(self._take)

    def close(self, timeout_s: float) -> None:
        """Writes what waits and shuts `logging` down; gives up after `timeout_s` seconds, if a lock is held so long."""
        divert(write)
        self._lines.put(None)
        self._thread.join(timeout_s)

    def _take(self, line: Line) -> None:
        if self._lines.qsize() < _MOST_WAITING:
            self._lines.put(line)
        else:
            self._dropped += 1

    def _main(self) -> None:
        while (line := self._lines.get()) is not None:
            with suppress(Exception):
                # A filter or handler of the app has raised: its next line may be fine.
                write(line)
            if self._dropped:
                lines, self._dropped = self._dropped, 0
                event(log, logging.WARNING, "log lines dropped", lines=lines)
        logging.shutdown()
