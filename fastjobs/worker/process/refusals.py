"""Tells of reports that were refused because the lease was lost: their jobs may run a second time elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from fastjobs import errors
from fastjobs.logs import event
from fastjobs.model.outcome import Outcome, Run
from fastjobs.model.refs import JobAddress, parse_ref
from fastjobs.model.stored import record_body
from fastjobs.server.exchanges.single import WORKER_RETRIES
from fastjobs.store.replies import FoundJob
from fastjobs.store.store import Store

log = logging.getLogger("fastjobs.worker")


class Refusals:
    """Refused reports of one process, until they are reported.

    Args:
        store: the process's.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reports: list[tuple[str, Run | Outcome]] = []

    def add(self, partition: str, reports: Sequence[Run | Outcome]) -> None:
        """Notes reports that the server has refused."""
        self._reports += [(partition, report) for report in reports]

    def report(self, *, in_doubt: bool) -> None:
        """Tells how many jobs of the refused reports may be duplicates.

        Args:
            in_doubt: whether the reports were sent before and that was not answered. What the server took then is
                there, just as it was reported: no duplicate.
        """
        reports, self._reports = self._reports, []
        if reports and in_doubt:
            reports = self._not_taken(reports)
        jobs = sum(report.count if isinstance(report, Run) else 1 for _, report in reports)
        if jobs:
            event(log, logging.ERROR, "ack refused, possible duplicates", jobs=jobs)

    def _not_taken(self, reports: list[tuple[str, Run | Outcome]]) -> list[tuple[str, Run | Outcome]]:
        batch = self._store.batch()
        found = [batch.find(partition, _address(report)) for partition, report in reports]
        try:
            batch.run(WORKER_RETRIES, self._store.config.socket_timeout_s)
        except errors.StoreError:
            return reports
        return [
            (partition, report)
            for (partition, report), there in zip(reports, found, strict=True)
            if there.value is None or not self._is_there(partition, report, there.value)
        ]

    def _is_there(self, partition: str, report: Run | Outcome, found: FoundJob) -> bool:
        """Whether what is stored is what was reported; another run has other times, or another record."""
        if isinstance(report, Run):
            return (found.head, found.times) == (report.head, report.columns[:8])
        keyring, ref = self._store.keyring, _address(report).ref
        sealed = {keyring.seal_record(partition, ref, body) for body in (report.record, report.short) if body}
        return record_body(found.record) in sealed


def _address(report: Run | Outcome) -> JobAddress:
    """The job of an outcome, or the first one of a run."""
    if isinstance(report, Run):
        return JobAddress(report.chunk_id, report.first, False)
    return JobAddress(parse_ref(report.ref).chunk_id, report.index, False)
