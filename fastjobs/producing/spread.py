"""Decides when the jobs of a bulk become due: all together, or evenly spread over an interval."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from typing import Any

from fastjobs.producing.call import Line

#: Jobs spread over an interval become due in groups this far apart, or, if they are few, one by one further apart.
_SPREAD_STEP_MS = 50


class Spread:
    """The due times of a bulk.

    Args:
        line: the line of its jobs.
        items: its items; read whole when they are spread and have no length.
        spread_ms: the interval; 0 = all jobs become due together.
        chunk_jobs: jobs that make a chunk full.
    """

    def __init__(self, line: Line, items: Iterable[Any], spread_ms: int, chunk_jobs: int) -> None:
        self._line = line
        self._spread_ms = spread_ms
        self.items = items
        self.chunk_jobs = chunk_jobs
        if spread_ms:
            # How many there are decides how far apart they are.
            sized = items if isinstance(items, Sized) else list(items)
            self.items = sized
            self._number = len(sized)
            steps = max(1, spread_ms // _SPREAD_STEP_MS)
            self.chunk_jobs = min(chunk_jobs, max(1, -(-self._number // steps)))

    def line(self, first: int) -> Line:
        """Returns the line of a chunk, by the position of its first job among all."""
        if not self._spread_ms:
            return self._line
        offset_ms = self._spread_ms * first // self._number
        if self._line.due_at_ms:
            return self._line._replace(due_at_ms=self._line.due_at_ms + offset_ms)
        return self._line._replace(delay_ms=self._line.delay_ms + offset_ms)
