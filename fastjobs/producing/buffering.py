"""Gathers the single enqueues of all threads into chunks: `with app.buffered():`.

A job is stored a moment after its `enqueue` returned. `Buffer` says what that costs in certainty, and where errors are
raised.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from fastjobs import errors
from fastjobs.config import Config
from fastjobs.model.partitions import Partitioner
from fastjobs.model.refs import job_ref
from fastjobs.producing.call import Call
from fastjobs.producing.channel import Channel
from fastjobs.producing.open_chunks import OpenChunk, OpenChunks
from fastjobs.producing.sending import Sending

#: Full chunks that may wait to be sent; beyond that, enqueuing waits.
_MAX_WAITING = 64


class BufferedId:
    """The id of a job that is, or was, in a buffer: its chunk's for a chunk of one, otherwise with its position."""

    __slots__ = ("_chunk", "_position")

    def __init__(self, chunk: OpenChunk, position: int) -> None:
        self._chunk = chunk
        self._position = position

    def __str__(self) -> str:
        # Until the chunk is closed nobody knows whether it has one job; `<id>~000` finds that one, too.
        chunk, chunk_id = self._chunk, self._chunk.destination.chunk_id
        return chunk_id if chunk.closed and chunk.count == 1 else job_ref(chunk_id, self._position)

    @property
    def partition(self) -> str:
        """The partition its chunk goes to."""
        return self._chunk.destination.partition


class Buffer:
    """Collects jobs; a thread of its own sends chunks when they are full or their first job has waited long enough.

    A call whose arguments cannot be stored raises at once. Later errors (`NotEnqueued`, `EnqueueUnknown`, with the
    ids) are raised by the next `enqueue`, by `flush`, or at the end of the block. A job is certainly stored once
    `flush` or the block has ended without an error.

    Args:
        connect: makes a channel with a connection of its own.
        config: the app's settings.
        partitioner: chooses the partitions of chunks.
        linger_s: how long a job waits for others, in seconds.
    """

    def __init__(
        self, connect: Callable[[], Channel], config: Config, partitioner: Partitioner, linger_s: float
    ) -> None:
        self._channel = connect()
        self._linger_s = linger_s
        self._lock = threading.Lock()
        self._changed = changed = threading.Condition(self._lock)
        self._waiting = waiting = deque[tuple[OpenChunk, bytes]]()

        def take(chunk: OpenChunk, packed: bytes) -> None:
            waiting.append((chunk, packed))
            changed.notify_all()

        self._chunks = OpenChunks(config, partitioner, take)
        self._sending = False
        self._stopped = False
        self._failure: errors.FastJobsError | None = None
        self._thread = threading.Thread(target=self._main, name="fastjobs-buffer", daemon=True)

    def start(self) -> None:
        """Begins to send."""
        self._thread.start()

    def add(self, call: Call) -> BufferedId:
        """Adds a job.

        Raises:
            PayloadError: its arguments cannot be stored.
            NotEnqueued, EnqueueUnknown: an earlier job was not stored, or it is not known whether it was.
        """
        with self._lock:
            if self._failure is not None or len(self._waiting) >= _MAX_WAITING:
                self._wait_for_room()
            chunk = self._chunks.add(call)
            count = chunk.count
            if count == 1 and len(self._chunks) == 1:
                # From now on there is a chunk that lingers.
                self._changed.notify_all()
            return BufferedId(chunk, count - 1)

    def flush(self) -> None:
        """Sends all jobs that were added, and waits until they are stored.

        Raises:
            NotEnqueued, EnqueueUnknown: some were not, or it is not known whether they were.
        """
        with self._lock:
            self._chunks.close_all()
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
            self._channel.store.client.close()

    def _wait_for_room(self) -> None:
        self._raise_failure()
        self._changed.wait_for(lambda: len(self._waiting) < _MAX_WAITING or self._failure is not None)
        self._raise_failure()

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

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

    def _next_batch(self) -> list[tuple[OpenChunk, bytes]] | None:
        """Waits for closed chunks, closing those that have lingered; None when all is done."""
        with self._lock:
            while not self._waiting:
                if self._stopped:
                    return None
                self._linger()
            batch = list(self._waiting)
            self._waiting.clear()
            self._sending = True
            self._changed.notify_all()
            return batch

    def _linger(self) -> None:
        """Waits for a change until the oldest open chunk has lingered, then closes all."""
        oldest_at = self._chunks.oldest_at
        left_s = None if oldest_at is None else oldest_at + self._linger_s - time.monotonic()
        if left_s is None or left_s > 0:
            self._changed.wait(left_s)
        else:
            self._chunks.close_all()

    def _send(self, batch: list[tuple[OpenChunk, bytes]]) -> errors.FastJobsError | None:
        """Sends chunks; returns what went wrong."""
        sending = Sending(self._channel)
        try:
            for chunk, packed in batch:
                sending.send_new(chunk.line, chunk.destination, chunk.count, packed)
            sending.finish()
        except errors.FastJobsError as error:
            return error
        except Exception as error:
            return errors.InternalError(f"a buffer could not send: {error!r}")
        return None
