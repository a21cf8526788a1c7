"""Composes what surrounds a handler (context, limits, hooks), once per job type, when its first job is leased.

A handler with nothing around it is called by the execute loop as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fastjobs._core import Backlog, boot_time_ns
from fastjobs.context import Context
from fastjobs.errors import InternalError, JobInterrupted
from fastjobs.model.partitions import queue_of
from fastjobs.model.record import loaded
from fastjobs.model.time_limits import Limits
from fastjobs.options import Options
from fastjobs.registry import RegisteredType
from fastjobs.worker.leases import HeldSpan
from fastjobs.worker.process.finished_log import noting_finished
from fastjobs.worker.process.hooks import AfterJob, BeforeJob, HookCaller

#: Type tables whose surroundings are kept.
_KEPT_TABLES = 256


class Around(NamedTuple):
    """The surroundings of the handler of one job type."""

    #: The execute loop calls this: the handler itself, or a wrapper around it; None = the type is unknown here.
    handler: Callable[..., Any] | None
    limits: Limits
    #: How long finished jobs are kept, in milliseconds.
    keep_ms: int
    #: The execute loop calls these before and after each job, outside of its time; None = nothing.
    before: BeforeJob | None
    after: AfterJob | None


class AroundTable(NamedTuple):
    """The surroundings of all types in a chunk's type table, by entry; shared by all chunks with the same table.

    A list is None when no type has any such thing: jobs with handlers alone take the shortest way through the loop.
    """

    handlers: list[Callable[..., Any] | None]
    limits: list[Limits] | None
    before: list[BeforeJob | None] | None
    after: list[AfterJob | None] | None
    #: How long jobs of these types, in one chunk, are kept when they have finished, in milliseconds.
    keep_ms: int
    #: Whether all types are known here.
    complete: bool


class Composer:
    """Composes what surrounds the handlers of a process.

    Args:
        job_types: the registry of this process.
        hooks: the hooks to call around jobs.
        finished_keep_ms: how long finished jobs are kept unless their type says otherwise.
        backlog: knows which job a thread is running.
    """

    def __init__(
        self, job_types: Mapping[str, RegisteredType], hooks: HookCaller, finished_keep_ms: int, backlog: Backlog
    ) -> None:
        self._job_types = job_types
        self._before, self._after = hooks.before, noting_finished(hooks.after)
        self._finished_keep_ms = finished_keep_ms
        self._backlog = backlog
        self._composed: dict[str, tuple[RegisteredType, Around]] = {}
        self._tables: dict[tuple[tuple[str, bytes], ...], AroundTable] = {}

    def around(self, name: str) -> Around:
        """Returns what surrounds the handler of a job type."""
        job_type = self._job_types.get(name)
        if job_type is None:
            return Around(None, Limits(), self._finished_keep_ms, None, self._after)
        composed_for, around = self._composed.get(name, (None, None))
        # A module that is run again registers its types again.
        if around is None or composed_for is not job_type:
            around = self._compose(job_type)
            self._composed[name] = (job_type, around)
        return around

    def table(self, types: list[tuple[str, bytes]]) -> AroundTable:
        """Returns what surrounds the handlers of a chunk's types; composed for the first of alike tables only.

        Args:
            types: (name, options as JSON or empty) of each entry.
        """
        key = tuple(types)
        table = self._tables.get(key)
        if table is None:
            table = self._compose_table(types)
            # A type that is not known yet may be registered later.
            if table.complete:
                if len(self._tables) == _KEPT_TABLES:
                    self._tables.clear()
                self._tables[key] = table
        return table

    def _compose(self, job_type: RegisteredType) -> Around:
        handler = self._with_context(job_type) if job_type.takes_context else job_type.handler
        keep_ms = self._finished_keep_ms if job_type.keep_ms is None else job_type.keep_ms
        return Around(handler, job_type.limits, keep_ms, self._before, self._after)

    def _compose_table(self, types: list[tuple[str, bytes]]) -> AroundTable:
        arounds = [self.around(name) for name, _ in types]
        limits = [_chosen(around.limits, options) for around, (_, options) in zip(arounds, types, strict=True)]
        keeps = [around.keep_ms for around in arounds if around.handler is not None]
        return AroundTable(
            [around.handler for around in arounds],
            limits if any(limits) else None,
            [around.before for around in arounds] if any(around.before for around in arounds) else None,
            [around.after for around in arounds] if any(around.after for around in arounds) else None,
            max(keeps, default=self._finished_keep_ms),
            # By identity: a handler may be any object that can be called, and compare as it likes.
            all(around.handler is not None for around in arounds),
        )

    def _with_context(self, job_type: RegisteredType) -> Callable[..., Any]:
        handler = job_type.handler

        def with_context(*args: Any, **kwargs: Any) -> Any:
            return handler(self._context(job_type), *args, **kwargs)

        return with_context

    def _context(self, job_type: RegisteredType) -> Context:
        """The context of the job that the calling thread is running."""
        current = self._backlog.seats.current()
        if current is None:
            raise InternalError("a handler was called outside of the execute loop")
        seat, started_ns, deadline_ns, jobs, index = current
        span: HeldSpan = jobs.owner
        return Context(
            span.job_id(index),
            job_type.name,
            queue_of(span.lease.partition),
            attempt=span.earlier_runs + 1,
            deadline_ns=deadline_ns,
            signals=_SeatSignals(self._backlog, seat, started_ns),
        )


class _SeatSignals:
    """The signals to the job that started on a seat at a given time."""

    def __init__(self, backlog: Backlog, seat: int, started_ns: int) -> None:
        self._backlog = backlog
        self._seat = seat
        self._started_ns = started_ns

    def asked(self) -> type[JobInterrupted] | None:
        """Returns what the job was asked to end with."""
        asked: type[JobInterrupted] | None = self._backlog.seats.asked(self._seat, self._started_ns)
        return asked

    def lease_lost(self) -> bool:
        """Whether heartbeats have been missing for so long that nothing would be started now."""
        return bool(boot_time_ns() >= self._backlog.board.valid_until_ns)


def _chosen(limits: Limits, options: bytes) -> Limits:
    return Options.read_stored(loaded(options, dict) or {}).limits(limits) if options else limits
