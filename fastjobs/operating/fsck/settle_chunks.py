"""Decides what stays of each chunk, its marks and its history, once it is known where its jobs are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from fastjobs.model.refs import Member, Ref, is_detached, logged_member, read_ref
from fastjobs.model.status import Status
from fastjobs.model.stored import ChunkHead, Marks, finishing_member, neighbours
from fastjobs.operating.fsck.claim import Claims
from fastjobs.operating.fsck.findings import Finding
from fastjobs.operating.fsck.inventory import DetachedJob, Inventory
from fastjobs.operating.fsck.wanted import Wanted


def settle_chunks(inventory: Inventory, claims: Claims, wanted: Wanted) -> None:
    """Settles each chunk, and reports what belongs to no chunk."""
    settler = _Settler(inventory, claims, wanted)
    left = _detached_jobs(inventory.jobs)
    for chunk_id, head in inventory.heads.items():
        settler.settle(chunk_id, head, left[chunk_id])
    for name, (number, _) in inventory.logged.items():
        _check_logged(inventory, name, number)
    for name in inventory.stored["marks"]:
        if name not in wanted["marks"] and name not in inventory.heads:
            inventory.note(Finding.MARKS_ORPHANED, name)


def _detached_jobs(jobs: Mapping[str, DetachedJob]) -> defaultdict[str, set[int]]:
    """By chunk, the indexes of the jobs that have left it."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    for name, job in jobs.items():
        ref = read_ref(name)
        if ref is not None and job.record.status != Status.EXECUTING:
            found[ref.chunk_id].add(ref.first)
    return found


def _check_logged(inventory: Inventory, name: str, number: int) -> None:
    if not is_detached(name):
        if name not in inventory.heads:
            inventory.note(Finding.LOG_WITHOUT_CHUNK, name, number)
    elif name not in inventory.jobs or inventory.jobs[name].record.status != Status.FINISHED:
        inventory.note(Finding.LOG_WITHOUT_RECORD, name)


@dataclass(slots=True)
class _Chunk:
    """A chunk, and what its jobs came to: each index is in one set, but a finished job may have left later."""

    id: str
    head: ChunkHead
    #: None when it has none that can be read.
    marks: Marks | None
    logged: tuple[int, bytes] | None
    finished: set[int]
    claimed: set[int]
    #: Detached, or destroyed.
    left: set[int]

    @property
    def missing(self) -> set[int]:
        """Jobs that are nowhere."""
        return set(range(self.head.n)) - self.finished - self.claimed - self.left

    @property
    def kept(self) -> int:
        """How many finished jobs the history has of it."""
        return len(self.finished - self.left)

    @property
    def detached(self) -> tuple[int, ...]:
        """The jobs that left it, in order."""
        return tuple(sorted(self.left))


class _Settler:
    def __init__(self, inventory: Inventory, claims: Claims, wanted: Wanted) -> None:
        self._inventory = inventory
        self._stored = inventory.stored
        self._note = inventory.note
        self._terms = inventory.terms
        self._claims = claims
        self._wanted = wanted

    def settle(self, chunk_id: str, head: ChunkHead, detached: set[int]) -> None:
        chunk = self._chunk(chunk_id, head, detached)
        missing = chunk.missing
        if missing and chunk.logged and not chunk.claimed:
            self._note(Finding.TIMES_GONE, chunk_id, len(missing))
            chunk.left = chunk.left | missing
        elif missing:
            self._note(Finding.JOB_NOWHERE, chunk_id, len(missing))
            self._put_back(chunk, missing)
            chunk.claimed = chunk.claimed | missing
        if chunk.claimed:
            self._keep_open(chunk)
        else:
            self._keep_ended(chunk)

    def _chunk(self, chunk_id: str, head: ChunkHead, detached: set[int]) -> _Chunk:
        everything = set(range(head.n))
        claimed = self._claims.claimed.get(chunk_id, set())
        marks = self._inventory.marks.get(chunk_id)
        listed = everything.intersection(marks.detached) if marks else set()
        left = (listed - claimed - self._inventory.returned.get(chunk_id, set())) | (detached & everything)
        finished = self._inventory.finished.get(chunk_id, set())
        return _Chunk(chunk_id, head, marks, self._inventory.logged.get(chunk_id), finished, claimed, left)

    def _put_back(self, chunk: _Chunk, missing: set[int]) -> None:
        """Puts jobs in line, or in the schedule, at the place of their chunk."""
        due_ms = chunk.head.place.at_ms
        whole = Ref(chunk.id, 0, 1, "alone" if chunk.head.n == 1 else "span")
        for first, count in neighbours(sorted(missing)):
            member = Member(chunk.head.place, whole.part(first, count), "s")
            if due_ms > self._terms.now_ms:
                self._wanted.put_scheduled(member, b"%d" % due_ms)
            else:
                self._wanted.put_ready(member)

    def _keep_open(self, chunk: _Chunk) -> None:
        """Keeps a chunk that has jobs to run."""
        if chunk.logged:
            self._note(Finding.CHUNK_NOT_OVER, chunk.id)
        self._keep_payload(chunk)
        for segment in self._inventory.segments.get(chunk.id, ()):
            member = finishing_member(chunk.id, segment)
            self._wanted["finishing"][member.decode("utf-8", "surrogateescape")] = b"0"
        marks, postponed = chunk.marks or Marks(), self._postponed(chunk)
        keep_ms = marks.keep_ms
        if chunk.finished and chunk.marks is None:
            keep_ms = self._terms.keep_ms
        if chunk.marks or chunk.finished or chunk.left or postponed:
            done = len(chunk.finished | chunk.left)
            self._want_marks(chunk, done, keep_ms, postponed)
        if keep_ms:
            self._wanted.count[Status.FINISHED] += chunk.kept

    def _postponed(self, chunk: _Chunk) -> tuple[int, ...]:
        known = chunk.marks.postponed if chunk.marks else ()
        return tuple(dict.fromkeys((*known, *self._claims.postponed.get(chunk.id, ()))))

    def _keep_ended(self, chunk: _Chunk) -> None:
        """Keeps a chunk whose jobs have all ended, while its history is kept."""
        keep_ms = chunk.marks.keep_ms if chunk.marks else self._terms.keep_ms
        if not chunk.kept or not (chunk.logged or keep_ms):
            if chunk.kept or chunk.left or not chunk.logged:
                self._note(Finding.CHUNK_OVER, chunk.id)
            return
        self._keep_payload(chunk)
        self._wanted["finished"][chunk.id] = b"".join(segment.pack() for segment in self._inventory.segments[chunk.id])
        if chunk.logged is None:
            self._note(Finding.CHUNK_NOT_LOGGED, chunk.id, chunk.kept)
        forget_ms = chunk.logged[1] if chunk.logged else b"%d" % (self._terms.now_ms + keep_ms)
        self._wanted["finished_log"][logged_member(chunk.kept, chunk.id)] = forget_ms
        self._wanted.count[Status.FINISHED] += chunk.kept
        if chunk.left:
            marks = chunk.marks or Marks()
            self._want_marks(chunk, marks.done, marks.keep_ms, marks.postponed)

    def _keep_payload(self, chunk: _Chunk) -> None:
        self._wanted["chunks"][chunk.id] = self._stored["chunks"][chunk.id]

    def _want_marks(self, chunk: _Chunk, done: int, keep_ms: int, postponed: tuple[int, ...]) -> None:
        redeliveries, rounds = (chunk.marks.redeliveries, chunk.marks.rounds) if chunk.marks else (0, 0)
        marks = Marks(done, redeliveries, chunk.kept, keep_ms, chunk.detached, rounds, postponed)
        self._wanted["marks"][chunk.id] = marks.pack()
