"""What the execute loop calls for each job type: the handler itself, or one that passes it a `Context` first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastjobs._core import Backlog, boot_time_ns
from fastjobs.context import Context
from fastjobs.errors import InternalError, JobInterrupted
from fastjobs.model.partitions import queue_of
from fastjobs.registry import RegisteredType
from fastjobs.worker.leases import HeldSpan


class Calls:
    """Decides once per job type; a handler without context is called as it is.

    Args:
        job_types: the registry of this process.
        backlog: knows which job a thread is running.
    """

    def __init__(self, job_types: Mapping[str, RegisteredType], backlog: Backlog) -> None:
        self._job_types = job_types
        self._backlog = backlog
        self._decided: dict[RegisteredType, Callable[..., Any]] = {}

    def handler(self, name: str) -> Callable[..., Any] | None:
        """Returns what to call for a job of a type; None when the type is not known here."""
        job_type = self._job_types.get(name)
        if job_type is None or not job_type.takes_context:
            return job_type.handler if job_type else None
        decided = self._decided.get(job_type)
        if decided is None:
            decided = self._decided[job_type] = self._with_context(job_type)
        return decided

    def _with_context(self, job_type: RegisteredType) -> Callable[..., Any]:
        handler = job_type.handler

        def with_context(*args: Any, **kwargs: Any) -> Any:
            return handler(self._context(job_type), *args, **kwargs)

        return with_context

    def _context(self, job_type: RegisteredType) -> Context:
        """The context of the job that the calling thread is running."""
        current = self._backlog.current()
        if current is None:
            raise InternalError("a handler was called that no executor thread called")
        thread, started_ns, deadline_ns, jobs, index = current
        span: HeldSpan = jobs.owner
        return Context(
            span.job_id(index),
            job_type.name,
            queue_of(span.lease.queue),
            attempt=span.earlier_runs + 1,
            deadline_ns=deadline_ns,
            run=_HeldRun(self._backlog, thread, started_ns),
        )


class _HeldRun:
    """One run, as long as it lasts."""

    def __init__(self, backlog: Backlog, thread: int, started_ns: int) -> None:
        self._backlog = backlog
        self._thread = thread
        self._started_ns = started_ns

    def asked(self) -> type[JobInterrupted] | None:
        """Returns what it was asked to end with."""
        asked: type[JobInterrupted] | None = self._backlog.asked(self._thread, self._started_ns)
        return asked

    def lease_lost(self) -> bool:
        """Whether heartbeats have been missing for so long that nothing would be started now."""
        return bool(boot_time_ns() >= self._backlog.board.valid_until_ns)
