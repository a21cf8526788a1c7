"""Gathers single enqueues of all threads into chunks: `with app.buffered():`.

A job is stored a moment after its `enqueue` returned: what that costs in certainty, and where errors come
out, is said at `Buffer`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from fastjobs import errors
from fastjobs._core import ChunkWriter
from fastjobs.config import Config
from fastjobs.model.partitions import Partitioner
from fastjobs.model.refs import job_ref
from fastjobs.model.times import now_ms
from fastjobs.options import Options
from fastjobs.producing.sending import Line, ListedPartitions, Place, Sending, new_place
from fastjobs.registry import RegisteredType
from fastjobs.store.store import Store

#: Full chunks that may wait to be sent; beyond that, enqueuing waits.
_MAX_WAITING = 64


class BufferedId:
    """The id of a job that is, or was, in a buffer: its chunk's for a chunk of one, else with its place."""

    __slots__ = ("_chunk", "_position")

    def __init__(self, chunk: _OpenChunk, position: int) -> None:
        self._chunk = chunk
        self._position = position

    def __str__(self) -> str:
        # Until the chunk is closed nobody knows whether it has one job; `<id>~0` finds that one, too.
        chunk_id = self._chunk.place.chunk_id
        return chunk_id if self._chunk.closed_with == 1 else job_ref(chunk_id, self._position)

    @property
    def partition(self) -> str:
        """The partition its chunk goes to."""
        return self._chunk.place.partition


class _OpenChunk:
    """A chunk that is being filled."""

    __slots__ = ("closed_with", "line", "opened_at", "place", "writer")

    def __init__(self, line: Line, place: Place, writer: ChunkWriter) -> None:
        self.line = line
        self.place = place
        self.writer = writer
        self.opened_at = time.monotonic()
        #: Number of its jobs, once it is closed.
        self.closed_with = 0


class Buffer:
    """Collects jobs; a thread of its own sends chunks when they are full or their first job has waited long enough.

    A call whose arguments cannot be stored raises at once. What goes wrong later (`NotEnqueued`,
    `EnqueueUnknown`, with the ids) raises from the next `enqueue`, from `flush`, or when the block ends. A job
    is certainly stored once `flush` or the block has ended without an error.

    Args:
        connect: makes a store over a connection of its own.
        config: the app's settings.
        partitioner: chooses the partitions of chunks.
        linger_ms: how long a job waits for others, in milliseconds.
    """

    def __init__(
        self, connect: Callable[[], Store], config: Config, partitioner: Partitioner, linger_ms: float
    ) -> None:
        self._store = connect()
        self._partitioner = partitioner
        self._config = config
        self._linger_s = linger_ms / 1000
        self._listed = ListedPartitions()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._open: dict[Line, _OpenChunk] = {}
        self._writers: list[ChunkWriter] = []
        self._waiting: deque[tuple[_OpenChunk, bytes]] = deque()
        self._sending = False
        self._stopped = False
        self._failure: errors.FastJobsError | None = None
        self._thread = threading.Thread(target=self._main, name="fastjobs-buffer", daemon=True)

    def start(self) -> None:
        """Begins to send."""
        self._thread.start()

    def add(
        self,
        line: Line,
        job_type: RegisteredType,
        options: Options,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
    ) -> BufferedId:
        """Adds a job.

        Raises:
            PayloadError: its arguments cannot be stored.
            NotEnqueued, EnqueueUnknown: an earlier job was not stored, or it is not known whether it was.
        """
        with self._lock:
            if self._failure is not None or len(self._waiting) >= _MAX_WAITING:
                self._wait_for_room()
            chunk = self._open.get(line)
            if chunk is None:
                chunk = self._begin(line)
            writer = chunk.writer
            entry = writer.entry(job_type.name, options.stored)
            if entry < 0:
                self._close(chunk)
                chunk = self._begin(line)
                writer = chunk.writer
                entry = writer.entry(job_type.name, options.stored)
            writer.add(entry, args, kwargs)
            position = writer.count - 1
            if writer.count >= self._config.chunk_jobs or writer.size >= self._config.chunk_bytes:
                self._close(chunk)
            return BufferedId(chunk, position)

    def flush(self) -> None:
        """Sends what is there and waits until it is stored.

        Raises:
            NotEnqueued, EnqueueUnknown: some of it was not, or it is not known whether it was.
        """
        with self._lock:
            self._close_all()
            self._changed.wait_for(lambda: not self._waiting and not self._sending)
            self._raise_failure()

    def stop(self) -> None:
        """Flushes and ends; errors as for `flush`."""
        try:
            self.flush()
        finally:
            with self._lock:
                self._stopped = True
                self._changed.notify_all()
            self._thread.join()
            self._store.client.close()

    def _wait_for_room(self) -> None:
        self._raise_failure()
        self._changed.wait_for(lambda: len(self._waiting) < _MAX_WAITING or self._failure is not None)
        self._raise_failure()

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _begin(self, line: Line) -> _OpenChunk:
        if self._writers:
            writer = self._writers.pop()
        else:
            writer = ChunkWriter(self._config.max_payload_bytes, self._config.compress_min_bytes)
        chunk = self._open[line] = _OpenChunk(line, new_place(self._partitioner, line), writer)
        if len(self._open) == 1:
            self._changed.notify_all()
        return chunk

    def _close(self, chunk: _OpenChunk) -> None:
        """Packs a chunk and lets it wait to be sent; one to which nothing could be added goes."""
        del self._open[chunk.line]
        chunk.closed_with = chunk.writer.count
        if chunk.closed_with:
            self._waiting.append((chunk, chunk.writer.finish(now_ms())))
            self._changed.notify_all()
        self._writers.append(chunk.writer)

    def _close_all(self) -> None:
        for chunk in list(self._open.values()):
            self._close(chunk)

    def _main(self) -> None:
        while True:
            batch = self._next_batch()
            if batch is None:
                return
            failure = self._send(batch)
            with self._lock:
                self._sending = False
                self._failure = self._failure or failure
                self._changed.notify_all()

    def _next_batch(self) -> list[tuple[_OpenChunk, bytes]] | None:
        """Waits for closed chunks, closing those that have lingered; None when all is done."""
        with self._lock:
            while not self._waiting:
                if self._stopped:
                    return None
                oldest = min((chunk.opened_at for chunk in self._open.values()), default=None)
                if oldest is None:
                    self._changed.wait()
                    continue
                left_s = oldest + self._linger_s - time.monotonic()
                if left_s > 0:
                    self._changed.wait(left_s)
                else:
                    self._close_all()
            batch = list(self._waiting)
            self._waiting.clear()
            self._sending = True
            self._changed.notify_all()
            return batch

    def _send(self, batch: list[tuple[_OpenChunk, bytes]]) -> errors.FastJobsError | None:
        """Sends chunks; returns what went wrong."""
        sending = Sending(self._store, self._listed)
        try:
            for chunk, blob in batch:
                sending.send(chunk.line, chunk.place, chunk.closed_with, blob)
            sending.finish()
        except errors.FastJobsError as error:
            return error
        except Exception as error:
            return errors.InternalError(f"a buffer could not send: {error!r}")
        return None
