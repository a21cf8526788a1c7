"""Logs each job that has finished, if the log has the level debug; otherwise finished jobs pay nothing for it."""

from __future__ import annotations

import logging

from fastjobs._core import Ending, LeasedJobs
from fastjobs.logs import event
from fastjobs.model.outcome import Outcome
from fastjobs.worker.leases import HeldSpan
from fastjobs.worker.process.hooks import AfterJob

log = logging.getLogger("fastjobs.worker")


def noting_finished(after: AfterJob | None) -> AfterJob | None:
    """Returns what to call after each job: `after`, and before it the line about the job if it is wanted."""
    if not log.isEnabledFor(logging.DEBUG):
        return after

    def note_and_go_on(
        jobs: LeasedJobs, index: int, ending: Ending, outcome: Outcome | None, started_ns: int, ended_ns: int
    ) -> None:
        if outcome is None:
            _note(jobs.owner, index, (ended_ns - started_ns) / 1e9)
        if after is not None:
            after(jobs, index, ending, outcome, started_ns, ended_ns)

    return note_and_go_on


def _note(span: HeldSpan, index: int, run_s: float) -> None:
    facts = {"job": span.job_id(index), "type": _type_of(span, index), "attempt": span.earlier_runs + 1}
    event(log, logging.DEBUG, "job finished", **facts, run_s=round(run_s, 6))


def _type_of(span: HeldSpan, index: int) -> str:
    if span.record is not None:
        return span.record.type
    assert span.chunk is not None
    return span.chunk.types[span.chunk.type_index(index)][0]
