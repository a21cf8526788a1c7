"""Reads a survey: takes apart what is stored of each chunk, record and finished job, as far as it can be read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from fastjobs.errors import ChunkError
from fastjobs.model.names import is_name
from fastjobs.model.record import ErrorRecord, JobRecord
from fastjobs.model.refs import Member, Place, Ref, job_id, job_ref, read_logged, read_ref
from fastjobs.model.status import Status
from fastjobs.model.stored import (
    ChunkHead,
    Marks,
    Segment,
    StoredRecord,
    record_body,
    segments,
    split_finishing,
)
from fastjobs.operating.fsck.contents import Contents
from fastjobs.operating.fsck.findings import Finding, Findings
from fastjobs.store.sealing import is_sealed


@dataclass(frozen=True, slots=True)
class Terms:
    """What a survey does not say.

    Attributes:
        now_ms: the server's clock at the survey.
        keep_ms: how long finished jobs are kept for which no time is stored.
        seal: turns the ref and the body of a new record into what is to be stored.
    """

    now_ms: int
    keep_ms: int
    seal: Callable[[str, bytes], bytes]


@dataclass(slots=True)
class DetachedJob:
    """A job with a record, and the places where it was met."""

    record: StoredRecord
    leased: bool = False
    waits: Member | None = None
    #: When it is due, if it waits in the schedule.
    due: bytes = b""


@dataclass(slots=True)
class Inventory:
    """All that a survey found, taken apart."""

    stored: Contents
    terms: Terms
    findings: Findings = field(default_factory=Findings)
    heads: dict[str, ChunkHead] = field(default_factory=dict)
    marks: dict[str, Marks] = field(default_factory=dict)
    #: By ref.
    jobs: dict[str, DetachedJob] = field(default_factory=dict)
    #: By chunk: the indexes of the jobs that finished in it, and their segments in order.
    finished: dict[str, set[int]] = field(default_factory=dict)
    segments: dict[str, list[Segment]] = field(default_factory=dict)
    #: By chunk id, or by ref: number of jobs in the finished log, and when to forget them.
    logged: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    #: By chunk: the indexes of the jobs whose record is gone, but not the payload; they return to their chunk.
    returned: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    def note(self, finding: Finding, name: str = "", jobs: int = 0) -> None:
        """Notes a finding."""
        self.findings.note(finding, name, jobs)

    def is_listed(self, ref: str, status: str) -> bool:
        """Whether the list of jobs that ended with a status has this one."""
        return ref in (self.logged if status == Status.FINISHED else self.stored[status])

    def take_back(self, ref: Ref) -> bool:
        """Lets a job without a record return to its chunk; False when the chunk does not have its payload."""
        head = self.heads.get(ref.chunk_id)
        if head is None or ref.first >= head.n:
            return False
        self.note(Finding.RECORD_GONE, ref.text, 1)
        self.returned[ref.chunk_id].add(ref.first)
        return True

    def lose(self, ref: Ref, why: str) -> None:
        """Adds a job whose payload is gone, as failed; a ref that is not detached is one of its chunk's."""
        name = job_ref(ref.chunk_id, ref.first)
        self.note(Finding.PAYLOAD_MISSING, name, 1)
        # Whether it was alone in its chunk is known only from a ref that says so.
        body = JobRecord(id=job_id(ref.chunk_id, ref.first, 1 if ref.kind == "alone" else 2), type="", payload=None)
        now_ms = self.terms.now_ms
        body.add_error(ErrorRecord(type="PayloadMissing", message=f"payload missing: {why}", at_ms=now_ms))
        sealed = self.terms.seal(name, body.encode())
        self.jobs[name] = DetachedJob(StoredRecord(Status.FAILED, Place("0", "0"), now_ms, "-", "", sealed))


def take_inventory(contents: Contents, terms: Terms) -> Inventory:
    """Takes a survey apart."""
    inventory = Inventory(contents, terms)
    for read in (_read_chunks, _read_marks, _read_times, _read_log, _read_records):
        read(inventory)
    return inventory


def _read_chunks(inventory: Inventory) -> None:
    for name, value in inventory.stored["chunks"].items():
        head = ChunkHead.read(value)
        if head is None:
            inventory.note(Finding.CHUNK_UNREADABLE, name)
        elif not is_name(name):
            inventory.note(Finding.CHUNK_ID_INVALID, name, head.n)
        else:
            inventory.heads[name] = head


def _read_marks(inventory: Inventory) -> None:
    for name, value in inventory.stored["marks"].items():
        marks = Marks.read(value)
        if marks is None:
            inventory.note(Finding.MARKS_UNREADABLE, name)
        elif name in inventory.heads:
            inventory.marks[name] = marks


def _read_times(inventory: Inventory) -> None:
    for name, value in _stored_segments(inventory.stored).items():
        head = inventory.heads.get(name)
        if head is None:
            inventory.note(Finding.TIMES_ORPHANED, name)
            continue
        inventory.finished[name], inventory.segments[name] = _finished_jobs(value, head.n)
        if sum(len(segment.pack()) for segment in inventory.segments[name]) != len(value):
            inventory.note(Finding.TIMES_UNREADABLE, name)


def _stored_segments(stored: Contents) -> dict[str, bytes]:
    """By chunk: the segments in `finished` and, one behind the other, those in `finishing`."""
    found = defaultdict(bytes, stored["finished"])
    for name in sorted(stored["finishing"]):
        chunk_id, segment = split_finishing(name.encode("utf-8", "surrogateescape"))
        found[chunk_id] += segment
    return found


def _finished_jobs(value: bytes, n: int) -> tuple[set[int], list[Segment]]:
    """The indexes in the segments of a chunk, and those of the segments that fit, in order."""
    indexes: set[int] = set()
    kept = []
    for segment in segments(value):
        if segment.indexes.stop > n:
            break
        if indexes.isdisjoint(segment.indexes):
            indexes.update(segment.indexes)
            kept.append(segment)
    return indexes, sorted(kept)


def _read_log(inventory: Inventory) -> None:
    for member, forget_ms in inventory.stored["finished_log"].items():
        entry = read_logged(member)
        if entry is None:
            inventory.note(Finding.LOG_UNREADABLE, member)
            continue
        number, name = entry[0], entry[1].text
        known = inventory.logged.get(name)
        if known is not None:
            inventory.note(Finding.LOG_TWICE, member)
        if known is None or number > known[0]:
            inventory.logged[name] = (number, forget_ms)


def _read_records(inventory: Inventory) -> None:
    for name, value in inventory.stored["jobs"].items():
        ref = read_ref(name)
        if ref is None or ref.kind != "detached":
            inventory.note(Finding.RECORD_REF_INVALID, name)
            continue
        record = read_record(value)
        if record is None:
            _replace_record(inventory, ref)
            continue
        if not record.status:
            inventory.note(Finding.STATUS_UNREADABLE, name, 1)
        inventory.jobs[name] = DetachedJob(record)


def _replace_record(inventory: Inventory, ref: Ref) -> None:
    """Decides what becomes of a job whose record cannot be read."""
    name = ref.text
    if name in inventory.stored["cancelled"] or name in inventory.logged:
        inventory.note(Finding.RECORD_OF_ENDED_UNREADABLE, name, 1)
    elif not inventory.take_back(ref):
        inventory.lose(ref, "its record cannot be read")


def read_record(value: bytes) -> StoredRecord | None:
    """Reads what is stored of a detached job; None when its body cannot be read.

    If only the line for scripts is damaged, the status is "". A sealed body is taken as it is: it need not be read to
    say where it belongs.
    """
    record = StoredRecord.read(value)
    body = record_body(value)
    try:
        job = JobRecord(id="", type="", payload=None) if is_sealed(body) else JobRecord.decode(body)
    except ChunkError:
        return None
    if record is None:
        type_name = job.type if is_name(job.type) else ""
        return StoredRecord("", Place(str(-job.priority), "0"), 0, "-", type_name, body)
    return record if record.status in _STATUSES else record._replace(status="")


_STATUSES = frozenset(Status)
