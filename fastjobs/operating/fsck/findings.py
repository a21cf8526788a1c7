"""Lists all that fsck can find, and collects what it has found; docs/repair.md has the same list."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

#: Ids named per finding; all are counted.
MAX_NAMED = 20


class Finding(Enum):
    """Something that does not fit, with what a repair does about it.

    Attributes:
        sentence: both, in words.
        lost: these jobs are lost: they did not run, or nobody knows, and their payload is gone.
    """

    PAYLOAD_MISSING = "jobs whose payload is gone are moved to failed, with the error PayloadMissing", True
    JOB_NOWHERE = "jobs that are in no line and no lease, and have not ended, are put back in line"
    JOB_IN_SEVERAL_PLACES = "jobs that are in several places stay in one of them"
    PLACE_WRONG = "jobs at a wrong place in line are moved to their own place"
    DUE_TIME_INVALID = "jobs with an impossible due time are due now"
    REF_INVALID = "refs that do not fit their chunk are removed"
    READY_UNREADABLE = "members of ready that cannot be read are removed"
    SCHEDULED_UNREADABLE = "members of scheduled that cannot be read are removed"
    CHUNK_ID_INVALID = "chunks whose id is not a valid name are removed", True
    CHUNK_UNREADABLE = "chunks that cannot be read are removed"
    CHUNK_PLACE_DAMAGED = "chunks whose place in line is damaged get a place again"
    CHUNK_OVER = "chunks that are no longer needed are removed"
    CHUNK_NOT_LOGGED = "finished chunks that the finished log does not have are added to it"
    CHUNK_NOT_OVER = "chunks that have unfinished jobs are taken out of the finished log"
    MARKS_UNREADABLE = "marks that cannot be read are rebuilt"
    MARKS_ORPHANED = "marks of chunks and jobs that do not exist are removed"
    RECORD_REF_INVALID = "records that are not stored under the ref of a detached job are removed"
    RECORD_GONE = "jobs whose record is gone return to their chunk, and run again"
    RECORD_OF_ENDED_UNREADABLE = "ended jobs whose record cannot be read are removed from the history"
    STATUS_UNREADABLE = "records whose status cannot be read get the status of the place where the job is"
    STATUS_WRONG = "records with a wrong status get the status of the place where the job is"
    ENDED_NOT_LISTED = "failed and cancelled jobs that are not in the list of their status are added to it"
    ENDED_REF_INVALID = "entries of failed and cancelled that are not the ref of a detached job are removed"
    CANCELLED_WITHOUT_RECORD = "cancelled jobs without a record are removed"
    CANCEL_OVERDUE = "jobs to be cancelled that are no longer executing are cancelled"
    CANCEL_NOT_REQUESTED = "missing requests to cancel an executing job are made again"
    CANCEL_ORPHANED = "requests to cancel a job that is not executing are removed"
    LEASE_ORPHANED = "leases without a session or a fence of their own are removed, and their jobs go back in line"
    SESSION_ORPHANED = "lists of leases of sessions that do not exist are removed"
    TIMES_ORPHANED = "run times of chunks that do not exist are removed"
    TIMES_UNREADABLE = "run times that cannot be read are removed"
    TIMES_GONE = "finished jobs whose run times are gone are removed from the history"
    LOG_UNREADABLE = "entries of the finished log that cannot be read are removed"
    LOG_TWICE = "second entries of the finished log for one chunk or job are removed"
    LOG_WITHOUT_CHUNK = "finished jobs whose chunk is gone are removed from the history"
    LOG_WITHOUT_RECORD = "entries of the finished log without a record of a finished job are removed"
    RECURRING_UNREADABLE = "recurring jobs that cannot be read are removed", True
    RECURRING_DUE_WRONG = "recurring jobs with a wrong due time get the due time of their definition"
    RECURRING_DUE_ORPHANED = "due times of recurring jobs that do not exist or are paused are removed"
    QUEUE_NAME_INVALID = "names in the list of queues that no queue can have are removed"
    COUNTER_INVALID = "counters that are not numbers are removed"
    COUNTER_NAME_INVALID = "counters without a valid name are removed"
    COUNTER_BEHIND = "counters that would give a number a second time are moved forward"
    SEQUENCE_INVALID = "a last sequence that cannot be read is removed"

    def __init__(self, sentence: str, lost: bool = False) -> None:
        self.sentence = sentence
        self.lost = lost


@dataclass(slots=True)
class Found:
    """How often a finding was made in a partition.

    Attributes:
        finding: what was found.
        jobs: how many jobs it concerns; 0 when none.
        ids: the first of the ids it concerns.
    """

    finding: Finding
    jobs: int = 0
    ids: list[str] = field(default_factory=list)

    @property
    def what(self) -> str:
        """The finding in words."""
        return self.finding.sentence

    @property
    def lost(self) -> bool:
        """Whether these jobs are lost."""
        return self.finding.lost


class Findings:
    """Collects what is found, in the order in which it is found first."""

    def __init__(self) -> None:
        self._found: dict[Finding, Found] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    @property
    def all(self) -> list[Found]:
        """The findings so far."""
        return list(self._found.values())

    def note(self, finding: Finding, name: str = "", jobs: int = 0) -> None:
        """Adds one thing; `name` is a field or member, and may hold foreign bytes as surrogate escapes."""
        shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        self.add(Found(finding, jobs, [shown] if name else []))

    def add(self, found: Found) -> None:
        """Adds what was found elsewhere."""
        known = self._found.setdefault(found.finding, Found(found.finding))
        known.jobs += found.jobs
        known.ids += found.ids[: MAX_NAMED - len(known.ids)]

    def update(self, found: Iterable[Found]) -> None:
        """Adds all that was found elsewhere."""
        for one in found:
            self.add(one)
