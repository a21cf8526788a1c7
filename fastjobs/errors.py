"""Every exception that fastjobs raises, under `FastJobsError`; the base class says whose fault it is.

`ConfigError` and `JobError` are the caller's fault, `StoreError` is the server's or the network's, `InternalError` is
ours. `Retry` and `Discard` are not failures: a handler raises them to say how its job ends. `JobTimeout` and
`JobCancelled` go the other way: the worker raises them in a handler.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any


class FastJobsError(Exception):
    """Base of every error that fastjobs raises."""


class ConfigError(FastJobsError):
    """A setting, argument, name or environment variable cannot be used; nothing was done."""


class JobError(FastJobsError):
    """A job, its arguments or an operation on it is not allowed."""


class PayloadError(JobError):
    """A job's arguments cannot be stored exactly.

    Attributes:
        path: where the offending value is, for example `args[2].x`; empty when it is the arguments as a whole.
        index: position of the item in the iterable given to `enqueue_many`, or None.
        enqueued: ids of the jobs that were stored before the offending item, or None. All others are not stored.
        assigned: ids of the jobs in the order of the items or calls, as far as they were packed, or None.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.index: int | None = None
        self.enqueued: Sequence[str] | None = None
        self.assigned: Sequence[str] | None = None


class PayloadTooLarge(PayloadError):
    """The encoded arguments of a job are larger than `max_payload_bytes`."""


class JobIdConflict(JobError):
    """The chosen job id already belongs to a different job.

    All other jobs of the same call are stored.

    Attributes:
        job_id: the id that is taken; of a bulk the first one.
        job_ids: all ids that are taken.
        enqueued: ids of the jobs of the same call that are stored.
        assigned: ids of all jobs of a bulk, in the order of its calls; None for one job.
    """

    def __init__(self, job_id: str, job_ids: Sequence[str] = (), enqueued: Sequence[str] = ()) -> None:
        others = f", and {len(job_ids) - 1} more ids of this call as well" if len(job_ids) > 1 else ""
        super().__init__(f"job id {job_id!r} is already taken by a job with other content{others}")
        self.job_id = job_id
        self.job_ids = job_ids or [job_id]
        self.enqueued = enqueued
        self.assigned: Sequence[str] | None = None


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
        job_id: the job's id.
        status: its current status.
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


class QueueInUse(FastJobsError):
    """A queue that is to be forgotten still stores something.

    Attributes:
        queue: which.
        partition: the part of it.
        kept_by: the key that is not empty, such as "failed" or "sessions", or "paused".
    """

    def __init__(self, queue: str, partition: str, kept_by: str, reason: str) -> None:
        super().__init__(f"queue {queue!r} is in use: {reason}")
        self.queue = queue
        self.partition = partition
        self.kept_by = kept_by


class ChunkError(FastJobsError):
    """A stored chunk cannot be read."""


class CorruptChunk(ChunkError):
    """The chunk is damaged: wrong magic, checksum, length or structure."""


class UntrustedChunk(CorruptChunk):
    """The chunk must be signed and is not, or its signature is wrong."""


class NewerFormat(ChunkError):
    """The chunk was written by a newer release of fastjobs, in a format that this one does not know."""


class MissingKey(ChunkError):
    """The chunk was signed or encrypted with a key that this app does not have."""


class StoreError(FastJobsError):
    """The server refused, failed or could not be reached."""


class ConnectionLost(StoreError):
    """The connection failed or timed out after bytes may have been sent: the outcome is unknown."""


class Unavailable(StoreError):
    """The server is unavailable (loading, busy, or there is no connection yet); nothing was applied."""


class ReadOnly(StoreError):
    """The server is a replica: its role has changed, or the URL names the wrong server."""


class OutOfMemory(StoreError):
    """The server has reached `maxmemory` or its disk is full; it refused the write."""


class AccessDenied(StoreError):
    """The server refused the credentials or a command (NOAUTH, NOPERM, WRONGPASS)."""

    @property
    def missing_right(self) -> str:
        """The rule that the server's user lacks, as `ACL SETUSER` takes it, such as `+info`; "" if it is not known."""
        named = re.search(r"run the '([\w|.-]+)' command", str(self))
        return f"+{named[1]}" if named else ""


class WrongKeyType(StoreError):
    """A key of fastjobs holds data that fastjobs did not write."""


class NewerLayout(StoreError):
    """A newer release of fastjobs has stored the queue in a layout that this one does not know; nothing was changed."""


class NotEnqueued(StoreError):
    """The jobs were certainly not stored.

    Attributes:
        enqueued: ids of the jobs of the same call that were stored, possibly empty. All others are not stored.
        assigned: ids of the jobs of a bulk in the order of its items or calls, as far as they were packed; None for one
            job.
        refused: with `app.buffered`, ids of the jobs that were not stored; otherwise empty.
    """

    def __init__(self, message: str, enqueued: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.enqueued = enqueued
        self.assigned: Sequence[str] | None = None
        self.refused: Sequence[str] = ()


class EnqueueUnknown(StoreError):
    """The outcome is unknown: the server did not answer within the retry budget.

    Call `resend` to be certain: a job that is stored already is not stored again.

    Attributes:
        ids: ids of the jobs that may or may not be stored.
        enqueued: ids of the jobs of the same call that were certainly stored. All others are not stored.
        assigned: ids of the jobs of a bulk in the order of its items or calls, as far as they were packed; None for one
            job.
        refused: with `app.buffered`, ids of the jobs that were certainly not stored; otherwise empty.
    """

    def __init__(
        self,
        message: str,
        ids: Sequence[str],
        enqueued: Sequence[str] = (),
        resend: Callable[[], Sequence[str]] | None = None,
    ) -> None:
        super().__init__(message)
        self.ids = ids
        self.enqueued = enqueued
        self.assigned: Sequence[str] | None = None
        self.refused: Sequence[str] = ()
        self._resend = resend

    def __reduce__(self) -> tuple[Any, ...]:
        # What sends again stays behind: it needs the connection of the process that got the error.
        return type(self), (str(self), list(self.ids), list(self.enqueued)), {"assigned": self.assigned}

    def resend(self) -> Sequence[str]:
        """Sends exactly the jobs in doubt again, from any thread of the process that enqueued them.

        The server recognises chunks that it has stored, for an hour or twice `retry_budget_s` after the first send,
        even when their jobs have run and their history is gone.

        Returns:
            The ids of these jobs; now all are stored.

        Raises:
            EnqueueUnknown: there was no answer again, or the server refused: its own `resend` goes on with what is
                still in doubt.
            JobIdConflict: all are stored, but those whose chosen ids belong to other jobs.
            JobError: the error has come from another process.
        """
        if self._resend is None:
            raise JobError("only the process that enqueued the jobs can send them again")
        return self._resend()


class PoolNotStarted(FastJobsError):
    """The worker of a pool ended before it was ready.

    Attributes:
        exit_code: the worker's.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"the worker ended with exit code {exit_code} before it was ready; see what it logged")
        self.exit_code = exit_code


class InternalError(FastJobsError):
    """A bug in fastjobs; please report it."""


class Retry(FastJobsError):
    """Raise it in a handler to run the job again later.

    Args:
        message: stored as the reason.
        in_: seconds until the next run, or a timedelta; None, or what is no such span of at most 50 years = the job
            type's own `retry_delay`.
    """

    def __init__(self, message: str = "retry requested", *, in_: float | timedelta | None = None) -> None:
        super().__init__(message)
        self.in_ = in_


class Discard(FastJobsError):
    """Raise it in a handler to fail the job at once, without further retries."""

    def __init__(self, message: str = "discarded by its handler") -> None:
        super().__init__(message)


class JobInterrupted(BaseException):
    """Base of the exceptions that the worker raises in a running handler.

    It is not an `Exception`: a handler's own `except Exception`, meant for a bad row or a refused request, must not
    swallow the end of the job. Python does the same with KeyboardInterrupt and asyncio's CancelledError. Clean up with
    `finally`, or catch it by name and raise it again.
    """


class JobTimeout(JobInterrupted):
    """The job has run longer than its `timeout`. The attempt fails unless the handler catches this and returns."""

    def __init__(self, message: str = "ran longer than its timeout") -> None:
        super().__init__(message)


class JobCancelled(JobInterrupted):
    """The job was cancelled and becomes `cancelled`, whatever the handler does with this exception.

    A handler may raise it to cancel its own job.
    """

    def __init__(self, message: str = "was cancelled while it ran") -> None:
        super().__init__(message)
