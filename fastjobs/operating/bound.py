"""How far an operation on many jobs goes: to what was there when it began, whatever comes or fails anew meanwhile."""

from __future__ import annotations

from typing import NamedTuple

from fastjobs.model.refs import SEQUENCE_DIGITS, Member
from fastjobs.model.status import Status
from fastjobs.store.store import Store

#: An operation looks at this many jobs more than twice as many as there were, whatever happens.
_SPARE = 1000


class Bound(NamedTuple):
    """Where a listing of a partition's jobs with a status ends.

    Some orders cannot say what is new: a job may be scheduled for a time before the last one. So there are two bounds:
    an entry behind the last one is not read, and no more than about twice as many jobs as there were.
    """

    #: Most jobs to look at.
    most: int
    #: The last score at the beginning; None = there was no entry, or the status has no sorted set.
    last: float | None
    #: The largest sequence given out before.
    sequence: str

    @staticmethod
    def now(store: Store, partition: str, status: Status, key: str | None) -> Bound:
        """Returns the bound of what is there now; `key` names the sorted set of the status."""
        batch = store.batch()
        number, sequence, now_us = (
            batch.counter(partition, status.value),
            batch.last_sequence(partition),
            batch.time_us(),
        )
        entries = None if key is None else batch.page(partition, key, None, 1, reverse=True)
        batch.run()
        scores = [float(score) for _, score in entries.value.entries] if entries else []
        return Bound(
            2 * number.value + _SPARE,
            scores[0] if scores else None,
            # The clock may have been set back; sequences have not.
            max(sequence.value, f"{now_us.value:0{SEQUENCE_DIGITS}x}"),
        )

    def is_passed(self, score: str) -> bool:
        """Whether an entry of the sorted set stands behind the last one that was there."""
        # Not by its member: the one that names a chunk changes as jobs leave it.
        return self.last is None or float(score) > self.last

    def is_new(self, member: Member) -> bool:
        """Whether the place in line was given out after the beginning."""
        return member.place.sequence > self.sequence
