"""Reports what fsck found in a partition, and what it changed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from fastjobs.errors import AccessDenied
from fastjobs.operating.fsck.findings import Findings, Found
from fastjobs.operating.fsck.plan import Plan

Status = Literal["clean", "drift", "repaired", "busy", "denied"]


@dataclass(slots=True)
class Report:
    """The result of a check of one partition of a queue.

    Attributes:
        partition: its name; "" = the list of queues.
        status: clean; drift (found, not repaired); repaired; busy: jobs moved all the time, so nothing was compared; or
            denied: the server's user lacks a right, so it was not compared, or not repaired to the end.
        denied: the server's refusal.
        findings: what did not fit.
        miscounted: name of a counter -> (what it said, how many jobs there are).
        changes: key -> how many of its entries differ from what they should be.
    """

    partition: str
    status: Status = "clean"
    findings: list[Found] = field(default_factory=list)
    miscounted: dict[str, tuple[str, int]] = field(default_factory=dict)
    changes: Counter[str] = field(default_factory=Counter)
    denied: AccessDenied | None = None

    @property
    def lost(self) -> int:
        """How many jobs are lost."""
        return sum(found.jobs for found in self.findings if found.lost)

    def ended(self, status: Status) -> Report:
        """Sets the status, and returns the report."""
        self.status = status
        return self

    def add(self, plan: Plan) -> None:
        """Adds what a plan found, and what it writes."""
        findings = Findings()
        findings.update(self.findings)
        findings.update(plan.findings)
        self.findings = findings.all
        for miscount in plan.miscounts:
            if miscount.there is not None:
                self.miscounted.setdefault(miscount.write.name, (miscount.counted, miscount.there))
        self.changes.update(write.key for write in plan.all_writes)
