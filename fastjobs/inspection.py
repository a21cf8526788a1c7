"""Answers questions about jobs from the database; a worker runs without it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import orjson

from fastjobs._core import Chunk
from fastjobs.errors import ChunkError, ConfigError, JobNotFound
from fastjobs.job import Job, Status, instant
from fastjobs.keys import queues_key
from fastjobs.names import check_name
from fastjobs.record import ErrorRecord, JobRecord
from fastjobs.registry import Registry
from fastjobs.store import FoundJob, Store, packed_chunk, record_body

#: Of each job that finished in a chunk: seconds from the first job's start, and of run time.
_TIMES = struct.Struct("<ff")


class Jobs:
    """Looks jobs up.

    Args:
        store: gives the calling thread's store.
        registry: the app's job types; a job is found without its type, it only says less then.
    """

    def __init__(self, store: Callable[[], Store], registry: Registry) -> None:
        self._store = store
        self._registry = registry

    def queues(self) -> list[str]:
        """Returns the names of all queues that were ever used, in alphabetical order."""
        store = self._store()
        (names,) = store.batch().command("SMEMBERS", queues_key(store.config.namespace)).run()
        return sorted({name.decode() for name in names})

    def counts(self, queues: Sequence[str] | None = None) -> dict[str, dict[Status, int]]:
        """Returns how many jobs each queue has in each status; exact, and O(1) per queue.

        Args:
            queues: which; None = all.
        """
        store = self._store()
        names = self.queues() if queues is None else list(queues)
        if not names:
            return {}
        batch = store.batch()
        for queue in names:
            batch.command("HMGET", store.keys(queue).stats, *(status.value for status in Status))
        return {
            queue: {status: int(number or 0) for status, number in zip(Status, reply, strict=True)}
            for queue, reply in zip(names, batch.run(), strict=True)
        }

    def count(self, status: Status, *, queue: str | None = None) -> int:
        """Returns how many jobs have a status, in one queue or (None) in all; exact, and O(1) per queue."""
        counts = self.counts(None if queue is None else [check_name("queue", queue)])
        return sum(of_queue[Status(status)] for of_queue in counts.values())

    def find(self, job_id: str, *, queue: str | None = None) -> Job:
        """Returns a job; its code need not be known here.

        Args:
            job_id: its id.
            queue: where to look; None = in all queues, which costs one look-up in each.

        Raises:
            JobNotFound: there is none, or its history was trimmed.
        """
        store = self._store()
        chunk_id, index, alone = split_id(job_id)
        queues = self.queues() if queue is None else [check_name("queue", queue)]
        batch = store.batch()
        for name in queues:
            batch.find(name, chunk_id, index, alone=alone)
        for name, found in zip(queues, batch.run() if queues else [], strict=True):
            if found is not None:
                job = Job(self, job_id, name)
                self._fill(job, found, index)
                return job
        raise JobNotFound(job_id)

    def load(self, job: Job) -> None:
        """Fills a handle with what is stored; see `Job.refresh`."""
        chunk_id, index, alone = split_id(job.id)
        (found,) = self._store().batch().find(job.queue, chunk_id, index, alone=alone).run()
        if found is None:
            raise JobNotFound(job.id)
        self._fill(job, found, index)

    def _fill(self, job: Job, found: FoundJob, index: int) -> None:
        """Turns what the server told into the handle's attributes."""
        record = _record(job.id, found, index)
        job.status = Status(found.status)
        job.due_at = instant(found.due_at_ms) if found.due_at_ms else None
        job.retries_left = self._retries_left(record)
        job.describe(record)

    def _retries_left(self, record: JobRecord) -> int | None:
        retries = record.options.get("retries")
        if retries is None and record.type in self._registry:
            retries = self._registry[record.type].retry.retries
        return None if retries is None else max(0, retries - record.attempts)


def split_id(job_id: str) -> tuple[str, int, bool]:
    """Takes a job id apart: chunk id, index, and whether the job has to be alone in its chunk.

    Raises:
        JobNotFound: no job can have this id.
    """
    chunk_id, tilde, index = job_id.partition("~")
    try:
        check_name("job id", chunk_id)
    except ConfigError as error:
        raise JobNotFound(job_id) from error
    if not tilde:
        return chunk_id, 0, True
    if not (index.isascii() and index.isdecimal() and len(index) <= 3 and str(int(index)) == index):
        raise JobNotFound(job_id)
    return chunk_id, int(index), False


def _record(job_id: str, found: FoundJob, index: int) -> JobRecord:
    """What is known about a job, as a record, whether it has one or is still in its chunk."""
    try:
        if found.record:
            return JobRecord.decode(record_body(found.record))
        chunk = Chunk.decode(packed_chunk(found.chunk))
    except ChunkError as error:
        record = JobRecord(id=job_id, type="", payload=None)
        record.add_error(ErrorRecord(type=type(error).__name__, message=str(error)))
        return record
    name, options = chunk.types[chunk.type_index(index)]
    record = JobRecord(
        id=job_id,
        type=name,
        payload=orjson.loads(chunk.payload(index)),
        options=orjson.loads(options) if options else {},
        priority=-int(found.chunk.split(b" ", 1)[0]),
        created_at_ms=chunk.created_at_ms,
    )
    if found.head:
        base_s, _ = _TIMES.unpack(found.first_times)
        start_s, record.run_s = _TIMES.unpack(found.times)
        started_us = int.from_bytes(found.head[:8], "little")
        record.started_at_ms = round(started_us / 1000 + (start_s - base_s) * 1000)
        record.worker = found.head[9:].decode("utf-8", "replace")
    return record
