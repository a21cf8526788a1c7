"""Every exception fastjobs raises, under `FastJobsError`; the base tells whose fault it is.

`ConfigError` and `JobError` are the caller's, `StoreError` is the server's or the network's,
`InternalError` is ours. `Retry` and `Discard` are not failures: handlers raise them to steer.
`JobTimeout` and `JobCancelled` come the other way: the worker raises them in a handler.
"""

from __future__ import annotations

from collections.abc import Sequence


class FastJobsError(Exception):
    """Base of every error fastjobs raises."""


class ConfigError(FastJobsError):
    """A setting, argument, name or environment is not usable; nothing was done."""


class JobError(FastJobsError):
    """A job, its arguments or an operation on it is not acceptable."""


class PayloadError(JobError):
    """A job's arguments cannot be stored exactly.

    Attributes:
        path: where the offending value is, for example `args[2].x`; empty when the whole is meant.
        index: position of the item in the iterable given to `enqueue_many`, or None.
        enqueued: ids of the jobs that were stored before the offending item, or None.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.index: int | None = None
        self.enqueued: Sequence[str] | None = None


class PayloadTooLarge(PayloadError):
    """A job's encoded arguments exceed `max_payload_bytes`."""


class JobIdConflict(JobError):
    """The chosen job id already belongs to a job with other content.

    Attributes:
        job_id: the id that is taken.
    """

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job id {job_id!r} is already taken by a job with other content")
        self.job_id = job_id


class JobNotFound(JobError):
    """No job with this id exists, or its history was trimmed.

    Attributes:
        job_id: the id that was looked up.
    """

    def __init__(self, job_id: str) -> None:
        super().__init__(f"no job with id {job_id!r}")
        self.job_id = job_id


class JobStateError(JobError):
    """The job's status does not allow the operation.

    Attributes:
        job_id: the job.
        status: the status it has.
    """

    def __init__(self, job_id: str, status: str, operation: str) -> None:
        super().__init__(f"job {job_id!r} is {status}: {operation} is not possible")
        self.job_id = job_id
        self.status = status


class RecurringNotFound(JobError):
    """No recurring job with this id is defined.

    Attributes:
        id: the id that was looked up.
    """

    def __init__(self, definition_id: str) -> None:
        super().__init__(f"no recurring job with id {definition_id!r}")
        self.id = definition_id


class ChunkError(FastJobsError):
    """The bytes of a stored chunk cannot be read."""


class CorruptChunk(ChunkError):
    """The chunk is damaged: wrong magic, checksum, length or structure."""


class UntrustedChunk(CorruptChunk):
    """The chunk is not signed though it has to be, or its signature is wrong."""


class NewerFormat(ChunkError):
    """The chunk was written by a newer fastjobs in a format this one does not know."""


class MissingKey(ChunkError):
    """The chunk was signed or encrypted with a key that is not known here."""


class StoreError(FastJobsError):
    """The server refused, failed or could not be reached."""


class ConnectionLost(StoreError):
    """The connection failed or timed out after bytes may have been sent: the outcome is unknown."""


class Unavailable(StoreError):
    """The server cannot serve now (loading, busy, no connection yet) and nothing was applied."""


class ReadOnly(StoreError):
    """The server is a replica: the role changed, or the URL names the wrong one."""


class OutOfMemory(StoreError):
    """The server is at `maxmemory` or its disk is full; the write was refused."""


class AccessDenied(StoreError):
    """The server refused the credentials or a command (NOAUTH, NOPERM, WRONGPASS)."""


class WrongKeyType(StoreError):
    """A key with one of our names holds foreign data."""


class LeaseLost(StoreError):
    """The session or its lease is gone: somebody else owns its jobs now."""


class NotEnqueued(StoreError):
    """The jobs were certainly not stored.

    Attributes:
        enqueued: ids of the jobs of the same call that were stored before, possibly empty.
    """

    def __init__(self, message: str, enqueued: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.enqueued = enqueued


class EnqueueUnknown(StoreError):
    """The outcome is unknown: the retry budget ended without an answer.

    Enqueue again with the same ids to be sure: a stored job is never stored twice.

    Attributes:
        ids: ids of the jobs in doubt.
        enqueued: ids of the jobs of the same call that were certainly stored.
    """

    def __init__(self, message: str, ids: Sequence[str], enqueued: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.ids = ids
        self.enqueued = enqueued


class InternalError(FastJobsError):
    """A bug in fastjobs; please report it."""


class Retry(FastJobsError):
    """Raise it in a handler to run the job again later.

    Args:
        message: what to store as the reason.
        in_: seconds until the next run; None takes the job type's own `retry_delay`.
    """

    def __init__(self, message: str = "retry requested", *, in_: float | None = None) -> None:
        super().__init__(message)
        self.in_ = in_


class Discard(FastJobsError):
    """Raise it in a handler to fail the job at once, without further retries."""

    def __init__(self, message: str = "discarded by its handler") -> None:
        super().__init__(message)


class JobInterrupted(BaseException):
    """Base of what the worker raises in a running handler.

    Not an `Exception`: a handler's own `except Exception`, there to survive a bad row or a refused request,
    must not swallow the end of the job. Python does the same with KeyboardInterrupt and asyncio's CancelledError.
    Clean up with `finally`, or catch it by name and raise it again.
    """


class JobTimeout(JobInterrupted):
    """The job has been running longer than its `timeout`; the attempt failed unless the handler still returns."""

    def __init__(self, message: str = "ran longer than its timeout") -> None:
        super().__init__(message)


class JobCancelled(JobInterrupted):
    """The job is to end: it becomes `cancelled`, whatever the handler does with this.

    A handler may raise it itself, to cancel its own job.
    """

    def __init__(self, message: str = "was cancelled while it ran") -> None:
        super().__init__(message)
