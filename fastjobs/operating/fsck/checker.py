"""Checks and repairs a partition: survey, plan, repair, and once more until all fits."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from fastjobs.errors import AccessDenied
from fastjobs.model.names import check_key_part
from fastjobs.model.partitions import queue_of
from fastjobs.operating.fsck.amend import amend
from fastjobs.operating.fsck.inventory import Terms
from fastjobs.operating.fsck.plan import Plan, make_plan
from fastjobs.operating.fsck.report import Report
from fastjobs.operating.fsck.rescue import find_rescues
from fastjobs.operating.fsck.survey import Survey, Surveyor, new_backoff
from fastjobs.store.store import Store

#: A partition that needs more rounds of repair is being damaged while it is repaired.
_MAX_ROUNDS = 20


class Fsck:
    """Checks and repairs one partition of a queue.

    Args:
        store: gives the calling thread's store.
        partition: which.
        patience_s: seconds to wait for a moment in which nothing moves.
    """

    def __init__(self, store: Callable[[], Store], partition: str, patience_s: float = 10.0) -> None:
        self._store = store
        self._partition = partition
        check_key_part("queue", queue_of(partition))
        self._patience_s = patience_s
        self._surveyor = Surveyor(store, partition)

    def check(self) -> Report:
        """Compares, and changes nothing."""
        return self._unless_denied(self._check)

    def repair(self) -> Report:
        """Compares, and changes what does not fit."""
        return self._unless_denied(self._repair)

    def _unless_denied(self, step: Callable[[Report], Report]) -> Report:
        report = Report(self._partition)
        try:
            return step(report)
        except AccessDenied as error:
            report.denied = error
            return report.ended("denied")

    def _check(self, report: Report) -> Report:
        survey = self._surveyor.take(self._deadline())
        if survey is None:
            return report.ended("busy")
        plan = self._plan(survey)
        if plan.clean:
            return report
        report.add(plan)
        return report.ended("drift")

    def _repair(self, report: Report) -> Report:
        deadline, backoff = self._deadline(), new_backoff()
        for _ in range(_MAX_ROUNDS):
            survey = self._surveyor.take(deadline)
            if survey is None:
                return report.ended("busy")
            plan = self._plan(survey)
            if plan.clean:
                return report.ended("repaired" if report.changes else "clean")
            if amend(self._store, self._partition, survey, plan):
                report.add(plan)
                deadline = self._deadline()
            elif time.monotonic() > deadline:
                return report.ended("busy")
            else:
                time.sleep(backoff.next_s())
        return report.ended("drift")

    def _deadline(self) -> float:
        return time.monotonic() + self._patience_s

    def _plan(self, survey: Survey) -> Plan:
        """Works out the writes for a survey; chunks that can be rescued are in it as they will be."""
        store = self._store()
        rescues = find_rescues(store, self._partition, survey)
        terms = Terms(survey.now_ms, store.config.finished_keep_ms, partial(store.keyring.seal_record, self._partition))
        return make_plan(survey.contents, terms, rescues)
