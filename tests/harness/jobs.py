"""Leased jobs made by hand: a board, a backlog, and chunks of calls."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fastjobs._core import Backlog, Board, Chunk, ChunkWriter, Ending, EndingKind, LeasedJobs

#: Later than any test ends.
ALWAYS = 2**62


def make_chunk(*jobs: tuple[str, tuple[Any, ...], dict[str, Any]]) -> Chunk:
    """A chunk of jobs, each (type, args, kwargs)."""
    writer = ChunkWriter()
    for name, args, keywords in jobs:
        writer.add(writer.entry(name), args, keywords)
    return Chunk.decode(writer.finish(0))


def numbered(number: int) -> Chunk:
    """A chunk of jobs whose argument is their index."""
    return make_chunk(*(("count", (index,), {}) for index in range(number)))


class Bench:
    """A backlog on a board of its own; keeps what runs that did not simply finish came to in `unusual` and `kinds`."""

    def __init__(self, seats: int = 1, slots: int = 4) -> None:
        self.board = Board.create(seats, slots)
        self.board.valid_until_ns = ALWAYS
        self.notify_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.unusual: list[tuple[LeasedJobs, int, BaseException | None]] = []
        self.backlog = Backlog(self.board, self._note, self.notify_fd)
        self.kinds: list[EndingKind] = []
        self._fence = 0

    def _note(self, jobs: LeasedJobs, index: int, ending: Ending) -> None:
        self.unusual.append((jobs, index, ending.exception))
        self.kinds.append(ending.kind)

    def lease(
        self,
        chunk: Chunk,
        *handlers: Callable[..., object] | None,
        first: int = 0,
        count: int | None = None,
    ) -> LeasedJobs:
        """Leases a span of a chunk and pushes its jobs; one handler is for every type."""
        count = chunk.n - first if count is None else count
        self._fence += 1
        slot = self.board.lease(self._fence, 0, [("chunk", chunk.n, first, count, 0, 0)])
        assert slot >= 0
        table = list(handlers) if len(handlers) > 1 else list(handlers) * len(chunk.types)
        jobs = LeasedJobs(chunk, table, slot, 0, first, count, None, "owner")
        self.backlog.push(jobs)
        return jobs

    def states(self, jobs: LeasedJobs) -> list[int]:
        return [state for *_, states in self.board.spans(jobs.slot) for state in states]

    def notified(self) -> bool:
        """Whether the notify file was written to since the last look."""
        try:
            return os.eventfd_read(self.notify_fd) > 0
        except BlockingIOError:
            return False

    def close(self) -> None:
        os.close(self.notify_fd)
        os.close(self.board.fd)


@contextmanager
def make_bench(seats: int = 1, slots: int = 4) -> Iterator[Bench]:
    """A bench, and its files closed afterwards."""
    bench = Bench(seats, slots)
    try:
        yield bench
    finally:
        bench.close()
