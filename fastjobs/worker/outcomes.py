"""Turns the ending of a job that did not simply finish into its outcome: retried, failed, cancelled or put back."""

from __future__ import annotations

import base64
import logging
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType

from fastjobs import errors
from fastjobs._core import Ending, EndingKind, LeasedJobs
from fastjobs.logs import event
from fastjobs.model.chance import chance
from fastjobs.model.outcome import Outcome
from fastjobs.model.record import UNREAD, ErrorRecord, JobRecord, loaded
from fastjobs.model.refs import detached_id, is_detached
from fastjobs.model.retry import RetryPolicy
from fastjobs.model.times import seconds
from fastjobs.options import Options
from fastjobs.registry import RegisteredType
from fastjobs.worker.leases import HeldSpan

log = logging.getLogger("fastjobs.worker")

#: The files whose code calls handlers.
_CALLERS = ("core/execute.pxi", "core/leased_jobs.pxi", "fastjobs/worker/process/around.py")
#: The files whose code raises exceptions in handlers.
_INTERRUPTERS = ("core/lines.pxi", "fastjobs/worker/process/lines.py", "fastjobs/worker/process/interrupter.py")
#: A job of a type that this worker does not know is postponed for 1, 2, 4 ... seconds, at most for this long ...
UNKNOWN_DELAY_CAP_S = 300
#: ... and so many times, about an hour: longer than a deploy takes. Then it leaves its chunk and is postponed by itself
#: once more, because perhaps only other jobs of the chunk have waited that long, and then it fails.
UNKNOWN_LIMIT = 20
#: Bytes kept of a chunk or record that cannot be read.
_KEPT_BYTES = 65_536
#: Characters kept of an exception's class.
_MAX_TYPE = 200


def chunk_record(span: HeldSpan, index: int) -> JobRecord:
    """Returns the first record of a job that leaves its chunk."""
    chunk = span.chunk
    assert chunk is not None
    name, options = chunk.types[chunk.type_index(index)]
    return JobRecord(
        id=span.job_id(index),
        type=name,
        payload=loaded(chunk.payload(index), list),
        options=loaded(options, dict) or {},
        priority=span.priority,
        created_at_ms=chunk.created_at_ms,
    )


def _record_of(span: HeldSpan, index: int) -> JobRecord:
    """Returns a record to be filled in. If that fails half-way, nothing of it is left with the span."""
    if span.record is None:
        return chunk_record(span, index)
    return replace(span.record, errors=list(span.record.errors))


def unreadable(span: HeldSpan, error: errors.CorruptChunk, worker: str, stored: bytes | None) -> list[Outcome]:
    """Fails the jobs of a span that cannot be read; the first one's record keeps what is stored, for inspection."""
    made = []
    for index in range(span.first, span.first + span.count):
        job_id = detached_id(span.ref, stored or b"") if is_detached(span.ref) else span.job_id(index)
        record = JobRecord(id=job_id, type="", payload=None, priority=span.priority)
        record.add_error(ErrorRecord(type=type(error).__name__, message=str(error), at_ms=_now_ms(), worker=worker))
        if stored and index == span.first:
            record.extra[UNREAD] = base64.b64encode(stored[:_KEPT_BYTES]).decode()
        event(log, logging.ERROR, "job failed", job=job_id, error=type(error).__name__, reason=error)
        made.append(span.outcome(index, "failed", record))
    return made


def without_payload(span: HeldSpan, record: JobRecord, worker: str) -> Outcome:
    """Fails a job that somebody made run again although its arguments could not be read when its record was made."""
    message = "its arguments are lost: they could not be read before"
    record.add_error(ErrorRecord(type="PayloadMissing", message=message, at_ms=_now_ms(), worker=worker))
    event(log, logging.ERROR, "job failed", job=record.id, error="PayloadMissing", reason=message)
    return span.outcome(span.first, "failed", record)


def exhausted(span: HeldSpan, record: JobRecord, redeliveries: int, worker: str) -> Outcome:
    """Fails a job that came back from dead workers too often."""
    message = f"came back {redeliveries} times from workers that died"
    record.add_error(ErrorRecord(type="TooManyRedeliveries", message=message, at_ms=_now_ms(), worker=worker))
    event(log, logging.ERROR, "job failed", job=record.id, error="TooManyRedeliveries", reason=message)
    return span.outcome(span.first, "failed", record)


def set_apart(span: HeldSpan, index: int, redeliveries: int, delay_ms: int) -> Outcome:
    """Puts a job that came back from dead workers before in line by itself, to be run when nothing else is."""
    record = span.record or chunk_record(span, index)
    record.redelivered = redeliveries
    return span.outcome(index, "scheduled", record, delay_ms)


def cancelled(span: HeldSpan, index: int) -> Outcome:
    """Ends a job that was cancelled before it started."""
    event(log, logging.INFO, "job cancelled before it started", job=span.job_id(index))
    return span.outcome(index, "cancelled", span.record or chunk_record(span, index))


class Outcomes:
    """Turns endings into outcomes by the policy of the job's type.

    Args:
        job_types: the registry of this process.
        worker: name stored with errors.
        times: (slot, column) -> (started ms, seconds run), from the board.
    """

    def __init__(
        self,
        job_types: Mapping[str, RegisteredType],
        worker: str,
        times: Callable[[int, int], tuple[int, float]],
    ) -> None:
        self._job_types = job_types
        self._worker = worker
        self._times = times

    def on_ending(self, jobs: LeasedJobs, index: int, ending: Ending) -> Outcome:
        """Leaves an outcome with the lease and returns it. The execute loop calls it where the job ran."""
        span: HeldSpan = jobs.owner
        try:
            outcome = self._outcome(span, jobs, index, ending)
        except BaseException as error:
            # Whatever is wrong with this exception, the other jobs must go on.
            outcome = self._unrecorded(span, index, error)
        span.lease.outcomes.append(outcome)
        return outcome

    def _outcome(self, span: HeldSpan, jobs: LeasedJobs, index: int, ending: Ending) -> Outcome:
        record = _record_of(span, index)
        if ending.kind is EndingKind.EXPIRED:
            return self._expired(span, index, record)
        record.worker, record.redelivered = self._worker, 0
        if ending.kind is EndingKind.UNKNOWN_TYPE:
            return self._unknown_type(span, index, record)
        assert ending.exception is not None
        record.started_at_ms, record.run_s = self._times(jobs.slot, jobs.column + index - jobs.first)
        if ending.kind is EndingKind.CANCELLED:
            return self._cancelled_running(span, index, record, ending.exception)
        return self._raised(span, index, record, ending.exception)

    def _raised(self, span: HeldSpan, index: int, record: JobRecord, raised: BaseException) -> Outcome:
        """A failed attempt: the handler raised, or its time was over."""
        record.attempts += 1
        record.add_error(_job_error(raised, record.attempts, self._worker))
        delay_ms = self._retry_delay_ms(record, raised)
        error = record.errors[-1]
        fields = {"job": span.job_id(index), "type": record.type, "attempt": record.attempts, "error": error.type}
        # `Retry` and `Discard` are decisions of the handler: where it took them is no news.
        shown = not issubclass(type(raised), (errors.Retry, errors.Discard))
        details = {"exc_info": raised, "exc_text": error.traceback} if shown else {}
        if delay_ms is None:
            event(log, logging.ERROR, "job failed", **details, **fields, reason=error.message)
            return span.outcome(index, "failed", record)
        fields["delay_ms"] = delay_ms
        event(log, logging.WARNING, "job will be retried", **details, **fields, reason=error.message)
        return span.outcome(index, "retrying", record, delay_ms)

    def _unrecorded(self, span: HeldSpan, index: int, error: BaseException) -> Outcome:
        """Fails a job whose exception cannot be recorded without raising another one."""
        record = _record_of(span, index)
        record.attempts += 1
        message = f"the job raised, and recording that raised {_type_name(error)}"
        record.add_error(ErrorRecord(type="Unrecordable", message=message, at_ms=_now_ms(), worker=self._worker))
        fields = {"job": span.job_id(index), "type": record.type, "error": "Unrecordable", "reason": message}
        event(log, logging.ERROR, "job failed", **fields)
        return span.outcome(index, "failed", record)

    def _retry_delay_ms(self, record: JobRecord, raised: BaseException) -> int | None:
        """Milliseconds until the next run, or None when there is none."""
        # By its real class: an exception can have a `__class__` of its own, which raises.
        kind = type(raised)
        if issubclass(kind, errors.Discard) or _does_not_fit(raised):
            return None
        policy = Options.read_stored(record.options).retry(self._job_types[record.type].retry)
        if record.failures > policy.retries:
            return None
        try:
            asked: object = getattr(raised, "in_", None) if issubclass(kind, errors.Retry) else None
            if asked is not None:
                return round(seconds("Retry(in_)", asked) * 1000)
            return policy.delay_ms(record.failures, chance)
        except BaseException as error:
            # SystemExit as well: it is code of the app that raised it, and this is no place to exit.
            reason = f"{_type_name(error)}: {_text(error)}"
            event(log, logging.ERROR, "retry_delay failed, using the default", type=record.type, reason=reason)
            return RetryPolicy(policy.retries).delay_ms(record.failures, chance)

    def _expired(self, span: HeldSpan, index: int, record: JobRecord) -> Outcome:
        message = "was not started in time: it expired before a worker got to it"
        record.add_error(ErrorRecord(type="Expired", message=message, at_ms=_now_ms(), worker=self._worker))
        event(log, logging.WARNING, "job expired", job=record.id, type=record.type)
        return span.outcome(index, "cancelled", record)

    def _cancelled_running(self, span: HeldSpan, index: int, record: JobRecord, raised: BaseException) -> Outcome:
        """The run is not charged: nothing went wrong. Its error shows where the handler was."""
        record.add_error(_job_error(raised, span.earlier_runs + 1, self._worker))
        event(log, logging.INFO, "job cancelled while running", job=record.id, type=record.type)
        return span.outcome(index, "cancelled", record)

    def _unknown_type(self, span: HeldSpan, index: int, record: JobRecord) -> Outcome:
        """Mixed deploys: another worker, or a newer release, may know the type."""
        record.unknown = record.unknown + 1 if span.record else UNKNOWN_LIMIT
        fields = {"job": span.job_id(index), "type": record.type}
        if record.unknown > UNKNOWN_LIMIT:
            message = f"no worker knows the job type {record.type!r}"
            record.add_error(ErrorRecord(type="UnknownType", message=message, at_ms=_now_ms(), worker=self._worker))
            event(log, logging.ERROR, "job failed", **fields, error="UnknownType", reason=message)
            return span.outcome(index, "failed", record)
        delay_s = min(UNKNOWN_DELAY_CAP_S, 2 ** (record.unknown - 1))
        event(log, logging.WARNING, "unknown job type, job postponed", **fields, delay_s=delay_s)
        return span.outcome(index, "scheduled", record, delay_s * 1000)


def _job_error(raised: BaseException, attempt: int, worker: str) -> ErrorRecord:
    return ErrorRecord(
        type=_type_name(raised),
        message=_text(raised),
        traceback=_traceback(raised),
        attempt=attempt,
        at_ms=_now_ms(),
        worker=worker,
    )


# An exception is code of the app, and any of its methods and attributes can raise anything.


def _type_name(raised: BaseException) -> str:
    """The name of its class, whatever the class says about itself; lone surrogates become question marks."""
    name = str.__str__(type.__dict__["__name__"].__get__(type(raised)))
    return name[:_MAX_TYPE].encode("utf-8", "replace").decode()


def _text(raised: BaseException) -> str:
    try:
        # A plain str, even if it made text of its own kind.
        return str.__str__(str(raised))
    except BaseException as error:
        return f"(its text cannot be made: {_type_name(error)})"


def _traceback(raised: BaseException) -> str:
    frames = _own_frames(raised)
    try:
        return "".join(traceback.format_exception(type(raised), raised, frames))
    except BaseException as error:
        shown = "".join(traceback.format_tb(frames))
        return f"{shown}{_type_name(raised)}: (the rest cannot be shown: {_type_name(error)})\n"


def _own_frames(raised: BaseException) -> TracebackType | None:
    """The traceback of the handler: the frames of the code that calls it, or raises in it, help nobody."""
    frames: TracebackType | None = BaseException.__dict__["__traceback__"].__get__(raised)
    while frames is not None and frames.tb_frame.f_code.co_filename.endswith(_CALLERS):
        frames = frames.tb_next
    each = frames
    while each is not None and each.tb_next is not None:
        if each.tb_next.tb_frame.f_code.co_filename.endswith(_INTERRUPTERS):
            each.tb_next = None
        each = each.tb_next
    return frames


def _does_not_fit(raised: BaseException) -> bool:
    """Whether the arguments do not fit the handler's signature: running the job again cannot help.

    Such a TypeError comes from the call itself, so its traceback has no frame of the handler.
    """
    return issubclass(type(raised), TypeError) and _own_frames(raised) is None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
