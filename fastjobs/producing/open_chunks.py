"""The chunks that are being filled, one for each line of jobs.

An exception from outside, such as KeyboardInterrupt, may end a step anywhere: a chunk moves from the open to the closed
ones in one call that nothing interrupts, and until then it can be filled further and packed again.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable

from fastjobs._core import ChunkWriter
from fastjobs.config import Config
from fastjobs.model.partitions import Partitioner
from fastjobs.model.times import now_ms
from fastjobs.producing.call import Call, Line
from fastjobs.producing.destinations import Destination, new_destination


def new_writer(config: Config) -> ChunkWriter:
    """Returns a writer with the limits of the app's settings."""
    return ChunkWriter(config.max_payload_bytes, config.compress_min_bytes)


class OpenChunk:
    """A chunk that is, or was, being filled."""

    __slots__ = ("closed", "count", "destination", "line", "number", "opened_at", "packed", "writer")

    def __init__(self, number: int, line: Line, destination: Destination, writer: ChunkWriter) -> None:
        #: Counts the chunks begun, from 0.
        self.number = number
        self.line = line
        self.destination = destination
        self.writer = writer
        self.opened_at = time.monotonic()
        #: How many jobs it has so far.
        self.count = 0
        #: Its bytes, once it is closed.
        self.packed = b""
        #: Whether no more jobs are added to it.
        self.closed = False


class OpenChunks:
    """Adds jobs to the chunks of their lines, and closes chunks that are full.

    Args:
        config: says when a chunk is full.
        partitioner: chooses the partitions of chunks.
        take: called when a chunk was added to `closed`.
        most: how many may be open at a time; the one opened first is closed to make room.
    """

    def __init__(
        self,
        config: Config,
        partitioner: Partitioner,
        take: Callable[[], object] = lambda: None,
        most: int = sys.maxsize,
    ) -> None:
        self._config = config
        self._partitioner = partitioner
        self._take = take
        self._most = most
        self._max_jobs, self._max_bytes = config.chunk_jobs, config.chunk_bytes
        self._open: dict[Line, OpenChunk] = {}
        self._writers: list[ChunkWriter] = []
        self._begun = 0
        #: The chunks that were closed, oldest first; whoever takes them removes them.
        self.closed: deque[OpenChunk] = deque()

    def __len__(self) -> int:
        return len(self._open)

    @property
    def oldest_at(self) -> float | None:
        """When the oldest open chunk was opened, by the monotonic clock; None when none is open."""
        return min((chunk.opened_at for chunk in self._open.values()), default=None)

    def add(self, call: Call) -> OpenChunk:
        """Adds a job to the chunk of its line, as its last one; begins a chunk when none is open.

        Raises:
            PayloadError: its arguments cannot be stored.
        """
        job_type, options, line, args, kwargs = call
        chunk = self._open.get(line) or self._open_chunk(line)
        writer = chunk.writer
        entry = writer.entry(job_type.name, options.stored)
        if entry < 0:
            # Its table of types is full; or it is full itself, and closing it was interrupted.
            self._close(chunk)
            chunk = self._open_chunk(line)
            writer = chunk.writer
            entry = writer.entry(job_type.name, options.stored)
        writer.add(entry, args, kwargs)
        chunk.count = count = writer.count
        if count >= self._max_jobs or writer.size >= self._max_bytes:
            self._close(chunk)
        return chunk

    def add_alone(self, call: Call, destination: Destination) -> OpenChunk:
        """Makes a chunk of one job; errors as for `add`."""
        job_type, options, line, args, kwargs = call
        chunk = self._begin(line, destination)
        chunk.writer.add(chunk.writer.entry(job_type.name, options.stored), args, kwargs)
        self._pack(chunk)
        self.closed.append(chunk)
        self._note_closed(chunk)
        return chunk

    def close_all(self) -> None:
        """Closes all open chunks."""
        for chunk in list(self._open.values()):
            self._close(chunk)

    def _open_chunk(self, line: Line) -> OpenChunk:
        chunk = self._begin(line, new_destination(self._partitioner, line))
        self._open[line] = chunk
        return chunk

    def _begin(self, line: Line, destination: Destination) -> OpenChunk:
        if len(self._open) == self._most:
            self._close(next(iter(self._open.values())))
        writer = self._writers.pop() if self._writers else new_writer(self._config)
        self._begun += 1
        return OpenChunk(self._begun - 1, line, destination, writer)

    def _close(self, chunk: OpenChunk) -> None:
        """Closes a chunk; one to which nothing could be added is dropped."""
        if chunk.writer.count:
            self._pack(chunk)
            # One step: no bytecode runs between the removal from the one and the addition to the other.
            self.closed.extend(map(self._open.pop, (chunk.line,)))
            self._note_closed(chunk)
        else:
            del self._open[chunk.line]
            chunk.writer.clear()
            self._writers.append(chunk.writer)

    @staticmethod
    def _pack(chunk: OpenChunk) -> None:
        # The writer knows of a job that was added just before an interruption.
        chunk.count = chunk.writer.count
        chunk.packed = chunk.writer.pack(now_ms())

    def _note_closed(self, chunk: OpenChunk) -> None:
        chunk.closed = True
        chunk.writer.clear()
        self._writers.append(chunk.writer)
        self._take()
