"""Decides which recurring jobs stay, and when they are due."""

from __future__ import annotations

from fastjobs.errors import ConfigError
from fastjobs.model.numbers import LATEST_MS
from fastjobs.model.schedules import read_schedule
from fastjobs.model.stored import DefinitionLine
from fastjobs.operating.fsck.contents import same_score
from fastjobs.operating.fsck.findings import Finding
from fastjobs.operating.fsck.inventory import Inventory
from fastjobs.operating.fsck.wanted import Wanted


def settle_recurring(inventory: Inventory, wanted: Wanted) -> None:
    """Lets each recurring job be due when its definition says so."""
    for name, value in inventory.stored["recurring"].items():
        line = DefinitionLine.read(value)
        if line is None or not _can_be_due(line):
            inventory.note(Finding.RECURRING_UNREADABLE, name)
            continue
        wanted["recurring"][name] = value
        if line.status == "active":
            _schedule(inventory, wanted, name, b"%d" % line.due_ms)
    for name in inventory.stored["recurring_due"]:
        if name not in wanted["recurring_due"]:
            inventory.note(Finding.RECURRING_DUE_ORPHANED, name)


def _can_be_due(line: DefinitionLine) -> bool:
    """Whether a definition has a due time and an interval that can be; what cron says, another machine may know."""
    try:
        if line.schedule.startswith("every"):
            read_schedule(line.schedule)
    except (ConfigError, ValueError):
        return False
    return line.due_ms <= LATEST_MS


def _schedule(inventory: Inventory, wanted: Wanted, name: str, due: bytes) -> None:
    if not same_score(inventory.stored["recurring_due"].get(name, b""), due):
        inventory.note(Finding.RECURRING_DUE_WRONG, name)
    wanted["recurring_due"][name] = due
