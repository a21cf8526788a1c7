"""What is stored of a job, as a record and as a handle, whether it is still in its chunk or detached."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import orjson

from fastjobs._core import Chunk
from fastjobs.errors import ChunkError, MissingKey
from fastjobs.job import Job
from fastjobs.model.record import ErrorRecord, JobRecord
from fastjobs.model.status import Status
from fastjobs.model.times import instant
from fastjobs.registry import Registry
from fastjobs.store.replies import chunk_size, packed_chunk, record_body
from fastjobs.store.store import Store

#: Of each job that finished in a chunk: seconds from its run's first start, and of run time.
_TIMES = struct.Struct("<ff")


class Times(NamedTuple):
    """When and where a job ran that finished in its chunk."""

    started_at_ms: int
    run_s: float
    worker: str


def times_of(head: bytes, first_times: bytes, times: bytes) -> Times:
    """Reads what `Board.finished_runs` packed: a run's head, the times of its first job, the times of one job."""
    base_s, _ = _TIMES.unpack(first_times)
    start_s, run_s = _TIMES.unpack(times)
    started_us = int.from_bytes(head[:8], "little")
    started_at_ms = round(started_us / 1000 + (start_s - base_s) * 1000)
    return Times(started_at_ms, run_s, head[9:].decode("utf-8", "replace"))


def read_segments(segments: bytes) -> Iterator[tuple[int, Times]]:
    """Yields (index, times) of each job that finished in a chunk; see scripts/lib/history.lua."""
    at = 0
    while at < len(segments):
        span, _, _ = segments[at : at + 32].partition(b" ")
        first, count = map(int, span.split(b"+"))
        head_at = at + len(span) + 1
        columns_at = head_at + 9 + segments[head_at + 8]
        head, first_times = segments[head_at:columns_at], segments[columns_at : columns_at + 8]
        for offset in range(count):
            times = segments[columns_at + 8 * offset : columns_at + 8 * offset + 8]
            yield first + offset, times_of(head, first_times, times)
        at = columns_at + 8 * count


def decode_record(store: Store, queue: str, job_id: str, ref: str, stored: bytes) -> JobRecord:
    """Reads the stored record of a detached job; one that cannot be read says so as its error."""
    try:
        return JobRecord.decode(store.keyring.open_record(queue, ref, record_body(stored)))
    except ChunkError as error:
        return _unreadable(job_id, error)


class StoredChunk:
    """A chunk as it is stored, opened once for many of its jobs."""

    def __init__(self, store: Store, queue: str, chunk_id: str, stored: bytes) -> None:
        self._chunk_id = chunk_id
        self.priority = -int(stored.split(b" ", 1)[0])
        self.n = chunk_size(stored)
        self._error: ChunkError | None = None
        try:
            self._chunk = Chunk.decode(store.keyring.open_chunk(queue, chunk_id, packed_chunk(stored)))
        except ChunkError as error:
            self._error = error

    def job_id(self, index: int) -> str:
        """Returns the id of the job at an index."""
        return self._chunk_id if self.n == 1 else f"{self._chunk_id}~{index}"

    def record(self, index: int, times: Times | None = None) -> JobRecord:
        """Returns what is known about a job of the chunk, as a record."""
        if self._error is not None:
            return _unreadable(self.job_id(index), self._error)
        name, options = self._chunk.types[self._chunk.type_index(index)]
        record = JobRecord(
            id=self.job_id(index),
            type=name,
            payload=orjson.loads(self._chunk.payload(index)),
            options=orjson.loads(options) if options else {},
            priority=self.priority,
            created_at_ms=self._chunk.created_at_ms,
        )
        if times is not None:
            record.started_at_ms, record.run_s, record.worker = times
        return record


def fill(job: Job, status: Status, due_at_ms: int, record: JobRecord, registry: Registry) -> None:
    """Turns what is stored into a handle's attributes."""
    job.status = status
    job.due_at = instant(due_at_ms) if due_at_ms else None
    job.retries_left = _retries_left(record, registry)
    job.describe(record)


def _unreadable(job_id: str, error: ChunkError) -> JobRecord:
    record = JobRecord(id=job_id, type="", payload=None, locked=str(error) if isinstance(error, MissingKey) else "")
    record.add_error(ErrorRecord(type=type(error).__name__, message=str(error)))
    return record


def _retries_left(record: JobRecord, registry: Registry) -> int | None:
    retries = record.options.get("retries")
    if retries is None and record.type in registry:
        retries = registry[record.type].retry.retries
    return None if retries is None else max(0, retries - record.failures)
