"""Gathers the single enqueues of all threads into chunks: `with app.buffered():`.

A job is stored a moment after its `enqueue` returned. `Buffer` says what that costs in certainty, and where errors are
raised.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable

from fastjobs import errors
from fastjobs.config import Config
from fastjobs.model.partitions import Partitioner
from fastjobs.model.refs import job_ref
from fastjobs.producing.call import Call
from fastjobs.producing.channel import Channel
from fastjobs.producing.failures import failure_of, merged
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
    ids) are raised by the next `enqueue`, by `flush`, or at the end of the block; one error stands for all that has
    failed since the last one. A job is certainly stored once `flush` or the block has ended without an error.

    An exception from outside, such as KeyboardInterrupt, may end an `enqueue` anywhere: its own job may be stored or
    not, all others are. A signal handler or a destructor that enqueues in the middle of a step is not buffered. Neither
    is a process that was forked inside the block: it sends nothing of its parent's.

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
        # Re-entrant: what runs in the middle of a step finds `_is_changing` set, and leaves the chunks alone.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._chunks = OpenChunks(config, partitioner, self._changed.notify_all)
        #: Closed chunks that wait to be sent.
        self._waiting = self._chunks.closed
        #: Whether chunks are being changed; for ever in a forked child, whose parent they belong to.
        self._is_changing = False
        self._is_forked = False
        self._sending = False
        self._stopped = False
        #: What went wrong since an error was raised last.
        self._failures: list[errors.FastJobsError] = []
        self._thread = threading.Thread(target=self._main, name="fastjobs-buffer", daemon=True)

    def start(self) -> None:
        """Begins to send."""
        _buffers.add(self)
        self._thread.start()

    def add(self, call: Call) -> BufferedId | None:
        """Adds a job.

        Returns:
            Its id; None when it cannot be buffered: in the middle of another step, or in a forked child.

        Raises:
            PayloadError: its arguments cannot be stored.
            NotEnqueued, EnqueueUnknown: an earlier job was not stored, or it is not known whether it was.
        """
        with self._lock:
            if self._is_changing:
                return None
            if self._failures or len(self._waiting) >= _MAX_WAITING:
                self._wait_for_room()
            self._is_changing = True
            try:
                chunk = self._chunks.add(call)
                count = chunk.count
                if count == 1 and len(self._chunks) == 1:
                    # From now on there is a chunk that lingers.
                    self._changed.notify_all()
            finally:
                self._is_changing = self._is_forked
            return BufferedId(chunk, count - 1)

    def flush(self) -> None:
        """Sends all jobs that were added, and waits until they are stored; in a forked child there are none.

        Raises:
            NotEnqueued, EnqueueUnknown: some were not, or it is not known whether they were.
            JobError: called by a signal handler or a destructor in the middle of another step.
        """
        with self._lock:
            if self._is_forked:
                return
            if self._is_changing:
                raise errors.JobError("flush() was called in the middle of another step of the same thread")
            self._close_all()
            self._changed.wait_for(lambda: not self._waiting and not self._sending)
            self._raise_failures()

    def stop(self) -> None:
        """Flushes and ends; errors as for `flush`."""
        try:
            self.flush()
        finally:
            with self._lock:
                self._stopped = True
                self._changed.notify_all()
            if self._thread.ident is not None and not self._is_forked:
                self._thread.join()
            self._channel.store.client.close()

    def leave_to_parent(self) -> None:
        """Called in a forked child: chunks, failures, thread and lock are its parent's."""
        self._is_forked = self._is_changing = True
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)

    def _wait_for_room(self) -> None:
        self._raise_failures()
        self._changed.wait_for(lambda: len(self._waiting) < _MAX_WAITING or self._failures)
        self._raise_failures()

    def _raise_failures(self) -> None:
        if self._failures:
            try:
                raise merged(self._failures)
            finally:
                # Not before: an exception from outside would replace one that nobody has seen.
                self._failures = []

    def _close_all(self) -> None:
        self._is_changing = True
        try:
            self._chunks.close_all()
        finally:
            self._is_changing = self._is_forked

    def _main(self) -> None:
        while True:
            batch = self._next_batch()
            if batch is None:
                return
            failure = self._send(batch)
            with self._lock:
                self._sending = False
                if failure is not None:
                    self._failures.append(failure)
                self._changed.notify_all()

    def _next_batch(self) -> list[OpenChunk] | None:
        """Waits for closed chunks, closing those that have lingered; None when all is done."""
        with self._lock:
            while not self._waiting:
                if self._stopped:
                    return None
                self._linger()
            batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
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
            self._close_all()

    def _send(self, batch: list[OpenChunk]) -> errors.FastJobsError | None:
        """Sends chunks; returns what went wrong."""
        sending = Sending(self._channel)
        try:
            for chunk in batch:
                # Once more: closing it may have been interrupted before it was noted.
                chunk.closed = True
                sending.send_new(chunk.line, chunk.destination, chunk.count, chunk.packed)
            sending.finish()
        except Exception as error:
            return failure_of(batch, sending.stored, error)
        return None


#: The buffers of this process.
_buffers: weakref.WeakSet[Buffer] = weakref.WeakSet()


def _leave_to_parent() -> None:
    for buffer in _buffers:
        buffer.leave_to_parent()


os.register_at_fork(after_in_child=_leave_to_parent)
