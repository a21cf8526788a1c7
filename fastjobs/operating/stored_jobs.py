"""Turns what is stored of a job, in its chunk or detached, into a record or a handle."""

from __future__ import annotations

from fastjobs._core import Chunk
from fastjobs.errors import ChunkError
from fastjobs.job import Job
from fastjobs.model.record import ErrorRecord, JobRecord, loaded
from fastjobs.model.refs import job_id
from fastjobs.model.status import Status
from fastjobs.model.stored import Times, record_body, split_chunk
from fastjobs.model.times import instant
from fastjobs.options import Options
from fastjobs.registry import Registry
from fastjobs.store.store import Store


def decode_record(store: Store, partition: str, job_id: str, ref: str, stored: bytes) -> JobRecord:
    """Reads the stored record of a detached job; if it cannot be read, returns one whose error says why."""
    try:
        return JobRecord.decode(store.keyring.open_record(partition, ref, record_body(stored)))
    except ChunkError as error:
        return _unreadable(job_id, error)


class StoredChunk:
    """A stored chunk, decoded once for many of its jobs."""

    def __init__(self, store: Store, partition: str, chunk_id: str, stored: bytes) -> None:
        self._chunk_id = chunk_id
        self.priority, self.n, packed = split_chunk(stored)
        self._error: ChunkError | None = None
        try:
            self._chunk = Chunk.decode(store.keyring.open_chunk(partition, chunk_id, packed))
        except ChunkError as error:
            self._error = error

    def holds(self, index: int) -> bool:
        """Whether there can be a job at an index."""
        return self._error is not None or index < self._chunk.n

    def job_id(self, index: int) -> str:
        """Returns the id of the job at an index."""
        return job_id(self._chunk_id, index, self.n)

    def record(self, index: int, times: Times | None = None) -> JobRecord:
        """Returns a record of a job of the chunk."""
        if self._error is not None:
            return _unreadable(self.job_id(index), self._error)
        name, options = self._chunk.types[self._chunk.type_index(index)]
        record = JobRecord(
            id=self.job_id(index),
            type=name,
            payload=loaded(self._chunk.payload(index), list),
            options=loaded(options, dict) or {},
            priority=self.priority,
            created_at_ms=self._chunk.created_at_ms,
        )
        if times is not None:
            record.started_at_ms, record.run_s, record.worker = times
        return record


def fill(job: Job, status: Status, due_at_ms: int, record: JobRecord, registry: Registry) -> None:
    """Sets the attributes of a handle from what is stored."""
    job.status = status
    job.due_at = instant(due_at_ms) if due_at_ms else None
    job.retries_left = _retries_left(record, registry)
    job.describe(record)


def _unreadable(job_id: str, error: ChunkError) -> JobRecord:
    record = JobRecord(id=job_id, type="", payload=None, unreadable=error)
    record.add_error(ErrorRecord(type=type(error).__name__, message=str(error)))
    return record


def _retries_left(record: JobRecord, registry: Registry) -> int | None:
    retries = Options.read_stored(record.options).retries
    if retries is None and record.type in registry:
        retries = registry[record.type].retry.retries
    return None if retries is None else max(0, retries - record.failures)
