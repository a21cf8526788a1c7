"""Holds what the keys of a partition should be, and how many jobs they have then."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from fastjobs.model.refs import Member
from fastjobs.model.status import Status
from fastjobs.operating.fsck.contents import HASHES, ZSETS

#: Counters have a rule of their own, see `differ`.
_KEYS = tuple(name for name in (*HASHES, *ZSETS) if name != "stats")


@dataclass(slots=True)
class Wanted:
    """The contents that the keys should have: field -> value, or member -> score."""

    keys: dict[str, dict[str, bytes]] = field(default_factory=lambda: {name: {} for name in _KEYS})
    #: Jobs by status.
    count: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(map(str, Status), 0)))
    #: Failed and cancelled jobs by `<status>:<type>`.
    types: Counter[str] = field(default_factory=Counter)

    def __getitem__(self, key: str) -> dict[str, bytes]:
        return self.keys[key]

    def put_ready(self, member: Member) -> None:
        """Puts jobs in line."""
        self["ready"][member.ready] = member.place.score.encode()
        self.count[Status.QUEUED] += member.ref.count

    def put_scheduled(self, member: Member, due: bytes) -> None:
        """Puts jobs in the schedule."""
        self["scheduled"][member.scheduled] = due
        self.count[Status.RETRYING if member.kind == "r" else Status.SCHEDULED] += member.ref.count
