"""What a caller holds of jobs: a status, a lazy sequence of ids, a handle."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, overload

from fastjobs.model.partitions import queue_of
from fastjobs.model.record import ErrorRecord, JobRecord
from fastjobs.model.refs import definition_of, job_id
from fastjobs.model.secret import with_secrets
from fastjobs.model.status import Status
from fastjobs.model.times import instant
from fastjobs.options import Options


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

    def cancel(self, job: Job) -> None:
        """Cancels the job."""

    def reschedule(self, job: Job, at: datetime | None, delay: float | timedelta | None) -> None:
        """Puts the job in line again."""

    def retry(self, job: Job) -> None:
        """Lets the failed job run again."""

    def set_priority(self, job: Job, priority: int) -> None:
        """Changes the waiting job's priority."""

    def destroy(self, job: Job) -> None:
        """Removes every trace of the job."""

    def next_time(self, job: Job) -> datetime | None:
        """Looks up when the recurring job that it is a run of is due next."""


class Job:
    """A handle of one job: what was known of it when it was enqueued, found or last refreshed.

    Attributes:
        type: name of its job type.
        status: its status.
        args: positional arguments; None when the stored payload cannot be read.
        kwargs: keyword arguments; None likewise.
        priority: higher runs first.
        due_at: when it is due, if it waits for its time; else None.
        created_at: when it was enqueued.
        attempts: runs so far that raised, timed out, or whose process died.
        retries_left: further runs it has if it raises (a crash uses up none); None when its type is not known here
            and the call did not say.
        started_at: when its last run started; None before the first has ended.
        finished_at: when its last run ended; None likewise.
        duration: how long its last run took; None likewise.
        worker: the worker of its last run, `host:pid`; None likewise.
        errors: what went wrong in each run, oldest first: the first and the last nine are kept.
    """

    # Defaults of the class, so that making a handle costs an enqueue next to nothing.
    type: str = ""
    status: Status = Status.QUEUED
    args: list[Any] | None = None
    kwargs: dict[str, Any] | None = None
    priority: int = 0
    due_at: datetime | None = None
    created_at: datetime | None = None
    attempts: int = 0
    retries_left: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration: timedelta | None = None
    worker: str | None = None
    errors: Sequence[ErrorRecord] = ()
    _options: Options = Options()

    def __init__(self, actions: JobActions, job_id: object, partition: str) -> None:
        self._actions = actions
        self._id = job_id
        #: The partition of the queue it is in, as `partitions.partition_name` writes it.
        self.partition = partition

    @property
    def queue(self) -> str:
        """The queue it is in."""
        return queue_of(self.partition)

    @property
    def id(self) -> str:
        """The job's id."""
        return str(self._id)

    @property
    def options(self) -> dict[str, Any]:
        """The options that its call chose, of those that are stored with a job; spans and times as such."""
        return self._options.shown()

    @property
    def error(self) -> ErrorRecord | None:
        """The last error, with `type`, `message` and `traceback`; None when nothing went wrong."""
        return self.errors[-1] if self.errors else None

    @property
    def recurring(self) -> str | None:
        """Id of the recurring job that this is a run of; None for other jobs."""
        return definition_of(self.id)

    @property
    def next_time(self) -> datetime | None:
        """When the recurring job that this is a run of is due next, as of now; None for other jobs, and in a pause."""
        return None if self.recurring is None else self._actions.next_time(self)

    def refresh(self) -> Job:
        """Loads the job's present state into this handle and returns it.

        Raises:
            JobNotFound: it is gone: destroyed, or its history was trimmed.
        """
        self._actions.load(self)
        return self

    def cancel(self) -> Job:
        """Cancels the job; `status` is then its new status.

        One that waits is `cancelled` and never runs. One that is being executed is asked to end with the worker's
        next heartbeat: `JobCancelled` is raised in its handler; it ends `cancelled`, or `finished` if it was
        quicker, and is not run again. One that has ended stays as it is. Cancelling twice is cancelling once.

        Raises:
            JobNotFound: it is gone.
        """
        self._actions.cancel(self)
        return self

    def reschedule(self, at: datetime | None = None, *, delay: float | timedelta | None = None) -> Job:
        """Puts the job in line again, at a time or after a delay, or at once, with all its retries.

        Also for one that has finished, failed or was cancelled, while it is kept.

        Args:
            at: an aware datetime; in the past = at once.
            delay: or seconds or a timedelta from the server's now.

        Raises:
            JobStateError: it is being executed: it would run twice at once.
            JobNotFound: it is gone.
            ConfigError: a naive datetime, or both at and delay.
        """
        self._actions.reschedule(self, at, delay)
        return self

    def retry(self) -> Job:
        """Lets a failed job run again at once, with all its retries; one that will run anyway stays as it is.

        Raises:
            JobStateError: it has finished or was cancelled; `reschedule` runs it again.
            JobNotFound: it is gone.
        """
        self._actions.retry(self)
        return self

    def set_priority(self, priority: int) -> Job:
        """Changes the priority of a job that waits; among its new equals it stands where it was enqueued or is due.

        Raises:
            JobStateError: it does not wait.
            JobNotFound: it is gone.
            ConfigError: no integer from -2^31 to 2^31.
        """
        self._actions.set_priority(self, priority)
        return self

    def destroy(self) -> None:
        """Removes every trace of the job; safe to repeat. If it is being executed it may run to its end, unseen."""
        self._actions.destroy(self)

    def describe(self, record: JobRecord) -> None:
        """Fills the handle from a record, which has all but status, due_at and retries_left."""
        self.type = record.type
        payload = with_secrets(record.payload)
        self.args, self.kwargs = (None, None) if payload is None else (payload[:-1], payload[-1])
        self.priority = record.priority
        self._options = Options.read_stored(record.options)
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
