"""Calls an app's hooks, and protects jobs and the worker from whatever they raise."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from fastjobs._core import Ending, LeasedJobs, boot_time_ns
from fastjobs.job import Job, JobActions
from fastjobs.logs import event
from fastjobs.model.outcome import Outcome
from fastjobs.model.record import JobRecord
from fastjobs.model.status import Status
from fastjobs.options import Options
from fastjobs.registry import Hooks, RegisteredType
from fastjobs.worker.leases import HeldSpan
from fastjobs.worker.outcomes import chunk_record

log = logging.getLogger("fastjobs.worker")

T = TypeVar("T")

#: Called with the jobs of a span and a job's index, before the job is started.
BeforeJob = Callable[[LeasedJobs, int], object]
#: Called with jobs, index, ending, outcome (None when the job finished), and when the run started and ended.
AfterJob = Callable[[LeasedJobs, int, Ending, Outcome | None, int, int], object]


class HookCaller:
    """Calls hooks where jobs run, outside of the time in which a job can be interrupted.

    Args:
        hooks: the app's.
        job_types: the registry of this process.
        actions: carries out what hooks do with the handles they get.
        worker: the worker's name.
    """

    def __init__(self, hooks: Hooks, job_types: Mapping[str, RegisteredType], actions: JobActions, worker: str) -> None:
        self._hooks = hooks
        self._job_types = job_types
        self._actions = actions
        self._worker = worker

    @property
    def before(self) -> BeforeJob | None:
        """To be called before each job of a known type; None without a hook, so that jobs without hooks pay nothing."""
        return self._before if self._hooks.before_job else None

    @property
    def after(self) -> AfterJob | None:
        """To be called after each job; None without a hook, so that jobs without hooks pay nothing."""
        return self._after if self._hooks.after_job or self._hooks.on_failed else None

    def worker_started(self) -> None:
        """Calls the hooks of a process that starts."""
        _call(self._hooks.on_worker_start, self._worker, "on_worker_start", {})

    def worker_stops(self) -> None:
        """Calls the hooks of a process that stops."""
        _call(self._hooks.on_worker_stop, self._worker, "on_worker_stop", {})

    def _before(self, jobs: LeasedJobs, index: int) -> None:
        try:
            span: HeldSpan = jobs.owner
            job = self._job(span, span.record or chunk_record(span, index), Status.EXECUTING)
        except Exception:
            event(log, logging.ERROR, "cannot describe job for a hook, hook skipped", exc_info=True, hook="before_job")
            return
        _call(self._hooks.before_job, job, "before_job", {"job": job.id})

    def _after(
        self, jobs: LeasedJobs, index: int, ending: Ending, outcome: Outcome | None, started_ns: int, ended_ns: int
    ) -> None:
        try:
            span: HeldSpan = jobs.owner
            if outcome is None:
                assert ending.finished
                record = self._finished_record(span, index, started_ns, ended_ns)
                job = self._job(span, record, Status.FINISHED)
            else:
                job = self._unfinished_job(span, outcome)
        except Exception:
            event(log, logging.ERROR, "cannot describe job for a hook, hook skipped", exc_info=True, hook="after_job")
            return
        if job.status is Status.FAILED:
            _call(self._hooks.on_failed, job, "on_failed", {"job": job.id})
        # A job of an unknown type did not run.
        if job.type in self._job_types:
            _call(self._hooks.after_job, job, "after_job", {"job": job.id})

    def _unfinished_job(self, span: HeldSpan, outcome: Outcome) -> Job:
        job = self._job(span, JobRecord.decode(outcome.record), Status(outcome.status))
        if outcome.status == Status.RETRYING:
            job.due_at = datetime.now(UTC) + timedelta(milliseconds=outcome.delay_ms)
        return job

    def _finished_record(self, span: HeldSpan, index: int, started_ns: int, ended_ns: int) -> JobRecord:
        wall_ns = time.time_ns() - boot_time_ns()
        return replace(
            span.record or chunk_record(span, index),
            started_at_ms=(wall_ns + started_ns) // 1_000_000,
            run_s=(ended_ns - started_ns) / 1e9,
            worker=self._worker,
        )

    def _job(self, span: HeldSpan, record: JobRecord, status: Status) -> Job:
        job = Job(self._actions, record.id, span.lease.partition)
        job.describe(record)
        job.status = status
        job_type = self._job_types.get(record.type)
        if job_type is not None:
            retry = Options.read_stored(record.options).retry(job_type.retry)
            job.retries_left = max(0, retry.retries - record.failures)
        return job


def _call(hooks: Sequence[Callable[[T], Any]], subject: T, name: str, fields: dict[str, str]) -> None:
    for hook in hooks:
        try:
            hook(subject)
        except BaseException:
            # SystemExit as well: a hook does not decide whether the worker goes on.
            event(log, logging.ERROR, "hook failed", exc_info=True, hook=name, **fields)
