"""Checks the list of queues, which all partitions of a namespace share."""

from __future__ import annotations

from fastjobs.errors import AccessDenied
from fastjobs.operating.fsck.findings import Finding, Findings
from fastjobs.operating.fsck.report import Report
from fastjobs.store.store import Store


def check_queue_list(store: Store, *, fix: bool) -> Report:
    """Looks for names that no queue can have; the report is of no partition.

    Args:
        store: of the calling thread.
        fix: whether to take them off the list.
    """
    report, findings = Report(""), Findings()
    try:
        for name in store.batch().foreign_names().run():
            findings.note(Finding.QUEUE_NAME_INVALID, name.decode("utf-8", "surrogateescape") or '""')
            report.changes["queues"] += 1
            if fix:
                store.batch().unlist_partition(name).run()
    except AccessDenied as error:
        report.denied = error
        return report.ended("denied")
    if findings:
        report.findings = findings.all
        report.ended("repaired" if fix else "drift")
    return report
