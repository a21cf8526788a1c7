"""Lets jobs of this process end that somebody cancelled while they were leased."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from fastjobs._core import Backlog, LeasedJobs
from fastjobs.logs import event
from fastjobs.model.refs import split_ref
from fastjobs.worker.leases import HeldLease, HeldLeases, HeldSpan
from fastjobs.worker.outcomes import cancelled
from fastjobs.worker.process.interruptions import Interruptions

log = logging.getLogger("fastjobs.worker")


class Canceller:
    """Finds a job by its ref and withdraws or interrupts it; a job that has ended stays as it ended.

    Args:
        backlog: unstarted and running jobs.
        interruptions: ends running jobs.
        leases: the leases that the process holds.
        suspects: unstarted jobs that are not in the backlog yet.
    """

    def __init__(
        self, backlog: Backlog, interruptions: Interruptions, leases: HeldLeases, suspects: list[LeasedJobs]
    ) -> None:
        self._backlog = backlog
        self._interruptions = interruptions
        self._leases = leases
        self._suspects = suspects

    def cancel(self, refs: Iterable[tuple[str, str]]) -> None:
        """Cancels those of the jobs that are here; asking twice does no more than asking once.

        Args:
            refs: (the partition it was leased from, "<chunk id>~<index>", for a chunk of one as well) of each job.
        """
        found = [job for job in (self._find(partition, ref) for partition, ref in refs) if job is not None]
        # All that can be withdrawn is, before a thread is freed that would start it.
        for lease, span, index in [job for job in found if not self._withdraw(*job)]:
            running = self._backlog.seats.running(lease.slot, span.column + index - span.first)
            if running is not None and self._interruptions.cancel(*running):
                event(log, logging.INFO, "interrupting cancelled job", job=span.job_id(index))

    def _withdraw(self, lease: HeldLease, span: HeldSpan, index: int) -> bool:
        if not (self._backlog.skip(span, index) or self._skip_suspect(span)):
            return False
        lease.outcomes.append(cancelled(span, index))
        return True

    def _find(self, partition: str, ref: str) -> tuple[HeldLease, HeldSpan, int] | None:
        chunk_id, index, _, _ = split_ref(ref)
        for lease in self._leases:
            for span in lease.spans if lease.partition == partition else ():
                name = chunk_id if span.n else ref
                if span.ref == name and span.first <= index < span.first + span.count:
                    return lease, span, index
        return None

    def _skip_suspect(self, span: HeldSpan) -> bool:
        for jobs in self._suspects:
            if jobs.owner is span:
                self._suspects.remove(jobs)
                return True
        return False
