"""Turns calls into chunks: one at a time, many of one type, or many of any types."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from typing import Any, NamedTuple, overload

from fastjobs import errors
from fastjobs._core import ChunkWriter
from fastjobs.config import Config
from fastjobs.job import JobIds
from fastjobs.model.partitions import Partitioner
from fastjobs.model.refs import job_id
from fastjobs.model.times import now_ms
from fastjobs.options import Options
from fastjobs.producing.sending import Line, ListedPartitions, Place, Progress, Sending, new_place, send_one
from fastjobs.registry import RegisteredType
from fastjobs.server.endpoint import Endpoint
from fastjobs.store.store import Store

#: Chunks being filled at a time when calls of several queues, priorities or due times are mixed.
_OPEN_CHUNKS = 64
#: Jobs spread over an interval become due in groups this far apart, or, if they are few, one by one further apart.
_SPREAD_STEP_MS = 50


class Call(NamedTuple):
    """One job to be enqueued: what to run, with which arguments, and how."""

    job_type: RegisteredType
    options: Options
    #: Where its chunk goes, from `line_of`.
    line: Line
    args: tuple[Any, ...]
    kwargs: dict[str, Any] | None


class _ThreadState(threading.local):
    """What each thread has of its own: connections and buffers are not shared."""

    store: Store | None = None
    writer: ChunkWriter | None = None

    def __init__(self) -> None:
        self.listed = ListedPartitions()


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

    def enqueue(self, call: Call) -> Place:
        """Stores one job.

        Returns:
            Where; the chunk's id is the job's.

        Raises:
            PayloadError: its arguments cannot be stored.
            JobIdConflict: the chosen id belongs to another job.
            NotEnqueued: the server refused it.
            EnqueueUnknown: the outcome is unknown.
        """
        local = self._local
        # No code of the caller runs in between, so the writer is never in use here already.
        writer = local.writer
        if writer is None:
            writer = local.writer = _new_writer(self._config)
        try:
            writer.add(writer.entry(call.job_type.name, call.options.stored), call.args, call.kwargs)
        except BaseException:
            writer.clear()
            raise
        blob = writer.finish(now_ms())
        line, job_id = call.line, call.options.job_id
        place = self._sending().place_of(line, job_id) if job_id else new_place(self._partitioner, line)
        send_one(self.store(), local.listed, line, place, blob)
        return place

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
            job_type: of all of them.
            options: of all of them.
            items: may be endless; it is read as fast as chunks are stored.
            progress: told about stored jobs.
            spread_ms: let them become due one after the other over so many milliseconds.

        Returns:
            The ids, in order.

        Raises:
            PayloadError: an item cannot be stored; `index` tells which, `enqueued` what was stored before it.
            NotEnqueued: the server refused a chunk; `enqueued` tells what was stored before.
            EnqueueUnknown: the outcome of some is unknown.
        """
        spread = _Spread(line_of(job_type, options, self._partitioner), items, spread_ms, self._config.chunk_jobs)
        sending = self._sending(progress)
        ids = JobIds()
        iterator = iter(spread.items)
        ended = False
        with self._writer() as writer, _input_errors(sending, lambda: len(ids) + writer.count):
            while not ended:
                entry = writer.entry(job_type.name, options.stored)
                ended = writer.fill(entry, iterator, spread.chunk_jobs, self._config.chunk_bytes)
                if writer.count:
                    n, line = writer.count, spread.line(len(ids))
                    place = new_place(self._partitioner, line)
                    sending.send(line, place, n, writer.finish(now_ms()))
                    ids.add_chunk(place.chunk_id, n)
        sending.finish()
        return ids

    def enqueue_calls(self, calls: Iterable[Call], progress: Progress | None = None) -> Sequence[str]:
        """Stores calls of any types, queues, priorities and due times; otherwise as `enqueue_many`.

        Jobs of one queue, priority and due time keep their order.
        """
        sending = self._sending(progress)
        mix = _Mix(sending, self._config, self._partitioner)
        with _input_errors(sending, lambda: len(mix.ids)):
            for call in calls:
                mix.add(call)
        mix.flush()
        sending.finish()
        return mix.ids

    def store(self) -> Store:
        """Returns this thread's store."""
        if self._local.store is None:
            endpoint = self._endpoint
            self._local.store = Store(endpoint.connect(), self._config, endpoint.patience_s)
        return self._local.store

    def close(self) -> None:
        """Closes this thread's connection; the next use opens it again."""
        if self._local.store is not None:
            self._local.store.client.close()

    def _sending(self, progress: Progress | None = None) -> Sending:
        return Sending(self.store(), self._local.listed, progress)

    @contextmanager
    def _writer(self) -> Iterator[ChunkWriter]:
        """This thread's writer, or a new one for a generator that enqueues while it is being enqueued."""
        writer, self._local.writer = self._local.writer, None
        if writer is None:
            writer = _new_writer(self._config)
        try:
            yield writer
        finally:
            writer.clear()
            self._local.writer = writer


def line_of(job_type: RegisteredType, options: Options, partitioner: Partitioner) -> Line:
    """Returns where jobs of a type go with these options."""
    priority = job_type.priority if options.priority is None else options.priority
    queue, key = options.queue or job_type.queue, options.partition_key
    partition = None if key is None else partitioner.of_key(queue, key)
    return Line(queue, priority, options.delay_ms, options.due_at_ms, partition)


class _Spread:
    """When the jobs of a bulk become due: all together, or evenly spread over an interval."""

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
        """Returns the line of a chunk, by the place of its first job among all."""
        if not self._spread_ms:
            return self._line
        offset_ms = self._spread_ms * first // self._number
        if self._line.due_at_ms:
            return self._line._replace(due_at_ms=self._line.due_at_ms + offset_ms)
        return self._line._replace(delay_ms=self._line.delay_ms + offset_ms)


def _new_writer(config: Config) -> ChunkWriter:
    return ChunkWriter(config.max_payload_bytes, config.compress_min_bytes)


@contextmanager
def _input_errors(sending: Sending, index: Callable[[], int]) -> Iterator[None]:
    """Lets an error of the caller's input say which item it was and what is stored nevertheless."""
    try:
        yield
    except errors.StoreError:
        raise
    except errors.PayloadError as error:
        error.index = index()
        sending.abandon(error)
        raise
    except BaseException as error:
        sending.abandon(error)
        raise


class MixedIds(Sequence[str]):
    """The ids of mixed calls, in the order of the calls: six bytes per job beside the chunks' ids."""

    def __init__(self) -> None:
        self._chunk_ids: list[str] = []
        self._sizes = array("H")
        self._chunk_of = array("I")
        self._index_in = array("H")

    def new_chunk(self, chunk_id: str) -> int:
        """Begins a chunk; returns its number."""
        self._chunk_ids.append(chunk_id)
        self._sizes.append(0)
        return len(self._chunk_ids) - 1

    def add(self, chunk: int) -> None:
        """Appends the id of the next job of a chunk."""
        self._chunk_of.append(chunk)
        self._index_in.append(self._sizes[chunk])
        self._sizes[chunk] += 1

    def __len__(self) -> int:
        return len(self._chunk_of)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        chunk = self._chunk_of[index]
        return job_id(self._chunk_ids[chunk], self._index_in[index], self._sizes[chunk])

    def __repr__(self) -> str:
        return f"<MixedIds: {len(self)} in {len(self._chunk_ids)} chunks>"


class _OpenChunk(NamedTuple):
    line: Line
    place: Place
    number: int
    writer: ChunkWriter


class _Mix:
    """Sorts calls into the chunks they can share."""

    def __init__(self, sending: Sending, config: Config, partitioner: Partitioner) -> None:
        self._sending = sending
        self._config = config
        self._partitioner = partitioner
        self._open: dict[Line, _OpenChunk] = {}
        self._writers: list[ChunkWriter] = []
        self.ids = MixedIds()

    def add(self, call: Call) -> None:
        """Adds a call to the open chunk of its line; sends a chunk that is full."""
        line = call.line
        # A job with an id of its own is a chunk of its own.
        chunk = None if call.options.job_id else self._open.get(line)
        if chunk is not None and self._is_full(chunk, call):
            self._close(chunk)
            chunk = None
        new = chunk is None
        if chunk is None:
            job_id = call.options.job_id
            place = self._sending.place_of(line, job_id) if job_id else new_place(self._partitioner, line)
            chunk = self._begin(line, place)
        entry = chunk.writer.entry(call.job_type.name, call.options.stored)
        chunk.writer.add(entry, call.args, call.kwargs)
        self.ids.add(chunk.number)
        if call.options.job_id:
            self._send(chunk)
        elif new:
            self._open[line] = chunk

    def flush(self) -> None:
        """Sends all open chunks."""
        for chunk in list(self._open.values()):
            self._close(chunk)

    def _begin(self, line: Line, place: Place) -> _OpenChunk:
        if len(self._open) == _OPEN_CHUNKS:
            self._close(next(iter(self._open.values())))
        writer = self._writers.pop() if self._writers else _new_writer(self._config)
        return _OpenChunk(line, place, self.ids.new_chunk(place.chunk_id), writer)

    def _is_full(self, chunk: _OpenChunk, call: Call) -> bool:
        writer = chunk.writer
        return (
            writer.count >= self._config.chunk_jobs
            or writer.size >= self._config.chunk_bytes
            or writer.entry(call.job_type.name, call.options.stored) < 0
        )

    def _close(self, chunk: _OpenChunk) -> None:
        del self._open[chunk.line]
        self._send(chunk)

    def _send(self, chunk: _OpenChunk) -> None:
        n = chunk.writer.count
        self._sending.send(chunk.line, chunk.place, n, chunk.writer.finish(now_ms()))
        self._writers.append(chunk.writer)
