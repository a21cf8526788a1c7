"""Turns calls into chunks: one at a time, many of one type, or many of any types."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fastjobs import errors
from fastjobs._core import ChunkWriter
from fastjobs.config import Config
from fastjobs.job import JobIds
from fastjobs.model.partitions import Partitioner
from fastjobs.model.times import now_ms
from fastjobs.options import Options
from fastjobs.producing.call import Call, line_of
from fastjobs.producing.channel import Channel
from fastjobs.producing.destinations import Destination, new_destination
from fastjobs.producing.mixed import Mix
from fastjobs.producing.open_chunks import new_writer
from fastjobs.producing.progress import Progress
from fastjobs.producing.sending import Sending
from fastjobs.producing.single import send_one
from fastjobs.producing.spread import Spread
from fastjobs.registry import RegisteredType
from fastjobs.server.endpoint import Endpoint
from fastjobs.store.store import Store


class _ThreadState(threading.local):
    """The state of one thread: connections and buffers are not shared."""

    channel: Channel | None = None
    writer: ChunkWriter | None = None


class Producer:
    """Stores jobs. Safe for use by several threads at once, and after a fork.

    Args:
        endpoint: where the server is.
        config: the app's settings.
        partitioner: chooses the partitions of chunks.
    """

    def __init__(self, endpoint: Endpoint, config: Config, partitioner: Partitioner) -> None:
        self._endpoint = endpoint
        self._config = config
        self._partitioner = partitioner
        self._local = _ThreadState()

    def enqueue(self, call: Call) -> Destination:
        """Stores one job.

        Returns:
            Where it is stored; the chunk's id is the job's.

        Raises:
            PayloadError: its arguments cannot be stored.
            JobIdConflict: the chosen id belongs to another job.
            NotEnqueued: the server refused it.
            EnqueueUnknown: the outcome is unknown.
        """
        local = self._local
        # Taken away while it is in use, so a signal handler or a destructor that enqueues makes another one. Not given
        # back when this ends in an exception: jobs may be left in it.
        writer, local.writer = local.writer, None
        if writer is None:
            writer = new_writer(self._config)
        writer.add(writer.entry(call.job_type.name, call.options.stored), call.args, call.kwargs)
        blob = writer.finish(now_ms())
        local.writer = writer
        line, job_id = call.line, call.options.job_id
        if job_id is None:
            destination = new_destination(self._partitioner, line)
        else:
            destination = self._sending().destination_of(line, job_id)
        send_one(self.channel(), line, destination, blob)
        return destination

    def enqueue_many(
        self,
        job_type: RegisteredType,
        options: Options,
        items: Iterable[Any],
        progress: Progress | None = None,
        spread_ms: int = 0,
    ) -> JobIds:
        """Stores one job per item; a tuple gives positional arguments, a dict keywords, anything else the one argument.

        Args:
            job_type: of all jobs.
            options: of all jobs.
            items: may be endless; it is read as fast as chunks are stored.
            progress: called with the number of jobs of each chunk that is stored.
            spread_ms: let the jobs become due one after the other over so many milliseconds.

        Returns:
            The ids, in order.

        Raises:
            PayloadError: an item cannot be stored; `index` says which, `enqueued` has the ids stored before it.
            NotEnqueued: the server refused a chunk; `enqueued` has the ids stored before.
            EnqueueUnknown: the outcome of some is unknown.
        """
        spread = Spread(line_of(job_type, options, self._partitioner), items, spread_ms, self._config.chunk_jobs)
        sending = self._sending(progress)
        ids = JobIds()
        iterator = iter(spread.items)
        ended = False
        with self._writer() as writer, _accounted(sending, ids, lambda: len(ids) + writer.count):
            while not ended:
                entry = writer.entry(job_type.name, options.stored)
                ended = writer.fill(entry, iterator, spread.chunk_jobs, self._config.chunk_bytes)
                if writer.count:
                    n, line = writer.count, spread.line(len(ids))
                    destination = new_destination(self._partitioner, line)
                    blob = writer.finish(now_ms())
                    # Before the chunk is sent: an error of sending says what became of all ids.
                    ids.add_chunk(destination.chunk_id, n)
                    sending.send_new(line, destination, n, blob)
            sending.finish()
        return ids

    def enqueue_calls(self, calls: Iterable[Call], progress: Progress | None = None) -> Sequence[str]:
        """Stores calls of any types, queues, priorities and due times; otherwise as `enqueue_many`.

        Jobs of one queue, priority and due time keep their order.
        """
        sending = self._sending(progress)
        mix = Mix(sending, self._config, self._partitioner)
        with _accounted(sending, mix.ids, lambda: len(mix.ids)):
            for call in calls:
                mix.add(call)
            mix.flush()
            sending.finish()
        return mix.ids

    def store(self) -> Store:
        """Returns this thread's store."""
        return self.channel().store

    def channel(self) -> Channel:
        """Returns what this thread sends chunks with.

        A channel whose connection is midway in a step belongs to what runs below on the stack, or was left by an
        exception from outside: it is replaced, and what may be using it goes on with it.
        """
        channel = self._local.channel
        if channel is None or channel.store.client.midway:
            endpoint = self._endpoint
            store = Store(endpoint.connect(), self._config, endpoint.patience_s)
            channel = self._local.channel = Channel(store, self.channel)
        return channel

    def close(self) -> None:
        """Closes this thread's connection; the next use opens it again."""
        channel, self._local.channel = self._local.channel, None
        if channel is not None and not channel.store.client.midway:
            channel.store.client.close()

    def _sending(self, progress: Progress | None = None) -> Sending:
        return Sending(self.channel(), progress)

    @contextmanager
    def _writer(self) -> Iterator[ChunkWriter]:
        """This thread's writer, or a new one for a generator that enqueues while it is being enqueued."""
        writer, self._local.writer = self._local.writer, None
        if writer is None:
            writer = new_writer(self._config)
        try:
            yield writer
        finally:
            writer.clear()
            self._local.writer = writer


@contextmanager
def _accounted(sending: Sending, ids: Sequence[str], index: Callable[[], int]) -> Iterator[None]:
    """Makes each error of a bulk say what is stored, what is not and what is in doubt.

    Args:
        sending: sends the chunks.
        ids: of the jobs, in the order of the input, as far as they have one.
        index: returns the position of the item that is being read.
    """
    try:
        yield
    except BaseException as error:
        if sending.is_own(error):
            _assign(error, ids)
            raise
        # Of the caller's input, or an interrupt.
        if isinstance(error, errors.PayloadError) and error.index is None:
            error.index, error.assigned = index(), ids
        try:
            sending.abandon(error)
        except errors.FastJobsError as worse:
            _assign(worse, ids)
            raise
        raise


def _assign(error: BaseException, ids: Sequence[str]) -> None:
    if isinstance(error, errors.JobIdConflict | errors.NotEnqueued | errors.EnqueueUnknown):
        error.assigned = ids
