"""What a caller holds of jobs: a status, a lazy sequence of ids, a handle."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol, overload

from fastjobs.record import ErrorRecord, JobRecord


class Status(StrEnum):
    """Where a job is in its life; each job is in exactly one."""

    SCHEDULED = "scheduled"
    """Waits for its time."""
    QUEUED = "queued"
    """Ready to run, in line."""
    EXECUTING = "executing"
    """Leased by a worker: being run, or about to be."""
    RETRYING = "retrying"
    """Raised, and waits for its next run."""
    FINISHED = "finished"
    """Ran to its end; kept for a while."""
    FAILED = "failed"
    """Will not run again; its errors are kept."""
    CANCELLED = "cancelled"
    """Was cancelled, or expired, before it ran to its end."""


def job_id(chunk_id: str, index: int, n: int) -> str:
    """Returns the id of a job: its chunk's for a chunk of one, else `<chunk id>~<index>`."""
    return chunk_id if n == 1 else f"{chunk_id}~{index}"


class JobIds(Sequence[str]):
    """The ids of jobs enqueued together, in order. Lazy: a million ids are a thousand chunk ids."""

    def __init__(self) -> None:
        self._chunks: list[str] = []
        #: Number of ids up to and with each chunk.
        self._ends: list[int] = []

    def add_chunk(self, chunk_id: str, n: int) -> None:
        """Appends the ids of a chunk of `n` jobs."""
        self._chunks.append(chunk_id)
        self._ends.append(len(self) + n)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f"id {index} of {len(self)}")
        chunk = bisect_right(self._ends, position)
        begin = self._ends[chunk - 1] if chunk else 0
        return job_id(self._chunks[chunk], position - begin, self._ends[chunk] - begin)

    def __iter__(self) -> Iterator[str]:
        begin = 0
        for chunk_id, end in zip(self._chunks, self._ends, strict=True):
            for index in range(end - begin):
                yield job_id(chunk_id, index, end - begin)
            begin = end

    def __repr__(self) -> str:
        if not self:
            return "<JobIds: none>"
        return f"<JobIds: {len(self)} from {self[0]} to {self[-1]}>"


class JobActions(Protocol):
    """What a handle needs to look its job up and to act on it; implemented by `inspection.Jobs`."""

    def load(self, job: Job) -> None:
        """Fills the handle with what is stored."""


class Job:
    """A handle of one job: what was known of it when it was enqueued, found or last refreshed.

    Attributes:
        id: its id.
        queue: the queue it is in.
        type: name of its job type.
        status: its status.
        args: positional arguments; None when the stored payload cannot be read.
        kwargs: keyword arguments; None likewise.
        priority: higher runs first.
        due_at: when it is due, if it waits for its time; else None.
        created_at: when it was enqueued.
        attempts: runs that raised, or whose process died, so far.
        retries_left: further runs it has if it raises; None when its type is not known here and the call did not say.
        started_at: when its last run started; None before the first has ended.
        finished_at: when its last run ended; None likewise.
        duration: how long its last run took; None likewise.
        worker: the worker of its last run, `host:pid`; None likewise.
        errors: what went wrong in each run, oldest first: the first and the last nine are kept.
    """

    def __init__(self, actions: JobActions, job_id: str, queue: str) -> None:
        self._actions = actions
        self.id = job_id
        self.queue = queue
        self.type = ""
        self.status = Status.QUEUED
        self.args: list[Any] | None = None
        self.kwargs: dict[str, Any] | None = None
        self.priority = 0
        self.due_at: datetime | None = None
        self.created_at: datetime | None = None
        self.attempts = 0
        self.retries_left: int | None = None
        self.started_at: datetime | None = None
        self.finished_at: datetime | None = None
        self.duration: timedelta | None = None
        self.worker: str | None = None
        self.errors: list[ErrorRecord] = []

    @property
    def error(self) -> ErrorRecord | None:
        """The last error, with `type`, `message` and `traceback`; None when nothing went wrong."""
        return self.errors[-1] if self.errors else None

    def refresh(self) -> Job:
        """Loads the job's present state into this handle and returns it.

        Raises:
            JobNotFound: it is gone: destroyed, or its history was trimmed.
        """
        self._actions.load(self)
        return self

    def describe(self, record: JobRecord) -> None:
        """Fills the handle with what a record tells; status, due_at and retries_left it does not."""
        self.type = record.type
        payload = record.payload
        self.args, self.kwargs = (None, None) if payload is None else (payload[:-1], payload[-1])
        self.priority = record.priority
        self.created_at = instant(record.created_at_ms) if record.created_at_ms else None
        self.attempts = record.attempts
        self.errors = record.errors
        self.started_at = self.finished_at = self.duration = self.worker = None
        if record.started_at_ms is not None and record.run_s is not None:
            self.started_at = instant(record.started_at_ms)
            self.duration = timedelta(seconds=record.run_s)
            self.finished_at = self.started_at + self.duration
            self.worker = record.worker

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.type or '?'} {self.status} queue={self.queue}>"


def instant(at_ms: float) -> datetime:
    """Returns a stored time as an aware datetime in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)
