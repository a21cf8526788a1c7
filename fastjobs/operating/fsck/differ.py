"""Compares what is stored with what is wanted: the writes that turn one into the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fastjobs.model.names import is_name
from fastjobs.model.refs import SEQUENCE_DIGITS
from fastjobs.model.stored import DefinitionLine
from fastjobs.operating.fsck.contents import ZSETS, Contents, Write, same_score
from fastjobs.operating.fsck.findings import Finding
from fastjobs.operating.fsck.inventory import Inventory
from fastjobs.operating.fsck.wanted import Wanted

#: Payload and records are written first, then where the jobs are; what goes is removed in the same order.
_ORDER = (
    *(
        "jobs",
        "marks",
        "finished",
        "finishing",
        "recurring",
        "failed",
        "cancelled",
        "finished_log",
        "ready",
        "scheduled",
    ),
    *("cancelling", "recurring_due", "leases", "sessions", "chunks"),
)
#: Fields of `stats` that scripts use as numbers, besides those that count jobs.
_INTEGERS = (
    *("enqueued_total", "finished_total", "retried_total", "failed_total", "cancelled_total", "redelivered_total"),
    *("tick", "grace_until", "moves"),
)
#: Counts the members that `fetch` has put at the end of ready and scheduled because it could not read them.
_SET_ASIDE = "set_aside"
#: How the fields of `stats` begin that count jobs by type.
_BY_TYPE = ("failed:", "cancelled:")


@dataclass(frozen=True, slots=True)
class Miscount:
    """A counter that is wrong, or is to be removed.

    Attributes:
        write: what puts it right.
        counted: what it says now.
        there: how many jobs there are; None for one that does not count jobs.
    """

    write: Write
    counted: str = ""
    there: int | None = None


def differences(stored: Contents, wanted: Wanted) -> Iterator[Write]:
    """Yields the writes to all keys but the counters, in an order in which no job is ever nowhere."""
    for key in _ORDER:
        have = stored[key]
        for name, value in wanted[key].items():
            if not _is_same(key, have.get(name), value):
                yield Write(key, name, value)
    for key in _ORDER:
        for name in stored[key]:
            if name not in wanted[key]:
                yield Write(key, name, None)


def _is_same(key: str, have: bytes | None, value: bytes) -> bool:
    return have == value or (have is not None and key in ZSETS and same_score(have, value))


def miscounts(inventory: Inventory, wanted: Wanted, last_fence: int) -> Iterator[Miscount]:
    """Yields the counters that are wrong."""
    stats = inventory.stored["stats"]
    for name, number in wanted.count.items():
        if _integer(stats.get(name, b"0")) != number:
            yield _recount(stats, name, number)
    for name in sorted({name for name in stats if name.startswith(_BY_TYPE)} | set(wanted.types)):
        number = wanted.types[name]
        # One that counts nothing is not kept.
        if name not in stats or _integer(stats[name]) != number or not number:
            yield _recount(stats, name, number or None)
    # Once they are removed, none is set aside.
    if _SET_ASIDE in stats:
        yield _recount(stats, _SET_ASIDE, None)
    yield from _unusable(inventory)
    yield from _behind(inventory, last_fence)


def _recount(stats: dict[str, bytes], name: str, number: int | None) -> Miscount:
    write = Write("stats", name, None if number is None else b"%d" % number)
    return Miscount(write, stats.get(name, b"0").decode("utf-8", "replace"), number or 0)


def _unusable(inventory: Inventory) -> Iterator[Miscount]:
    """Fields of `stats` that scripts cannot use."""
    stats = inventory.stored["stats"]
    for name in _INTEGERS:
        if name in stats and _integer(stats[name]) is None:
            yield _remove(inventory, Finding.COUNTER_INVALID, name)
    for name in stats:
        if not is_name(name) and not name.startswith(_BY_TYPE):
            yield _remove(inventory, Finding.COUNTER_NAME_INVALID, name)
    if "sequence" in stats and not _is_sequence(stats["sequence"]):
        yield _remove(inventory, Finding.SEQUENCE_INVALID, "sequence")


def _remove(inventory: Inventory, finding: Finding, name: str) -> Miscount:
    inventory.note(finding, name)
    return Miscount(Write("stats", name, None))


def _behind(inventory: Inventory, last_fence: int) -> Iterator[Miscount]:
    """Counters that would give a number a second time."""
    lines = map(DefinitionLine.read, inventory.stored["recurring"].values())
    last_revision = max((line.revision for line in lines if line), default=0)
    for name, least in (("fence", last_fence), ("recurring_revision", last_revision)):
        number = _integer(inventory.stored["stats"].get(name, b"0"))
        if number is None or number < least:
            inventory.note(Finding.COUNTER_BEHIND, name)
            yield Miscount(Write("stats", name, b"%d" % least))


def _integer(text: bytes) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _is_sequence(text: bytes) -> bool:
    try:
        return len(text) == SEQUENCE_DIGITS and int(text, 16) >= 0
    except ValueError:
        return False
