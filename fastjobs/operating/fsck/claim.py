"""Decides which of the keys that name a job has it: leases first, then the lines.

Jobs in a chunk that keep their place go straight to what is wanted. Jobs with a record are only noted as met: where
they belong is decided when all is known of them, by `settle_records`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from fastjobs.model.names import is_name
from fastjobs.model.refs import Member, Place, Ref, job_ref, parse_lease_name, read_ready, read_scheduled
from fastjobs.model.status import Status
from fastjobs.model.stored import ChunkHead, HeldFences, leased_value, neighbours, read_leased
from fastjobs.operating.fsck.contents import same_score
from fastjobs.operating.fsck.findings import Finding
from fastjobs.operating.fsck.inventory import DetachedJob, Inventory
from fastjobs.operating.fsck.wanted import Wanted

#: Later than any due time, in milliseconds.
_LATEST_MS = 1e15
#: Digits of the largest fence that is believed.
_FENCE_DIGITS = 15
WAITING = (Status.QUEUED, Status.SCHEDULED, Status.RETRYING)
ENDED = (Status.FAILED, Status.CANCELLED, Status.FINISHED)


def _indexes() -> defaultdict[str, set[int]]:
    return defaultdict(set)


@dataclass(slots=True)
class Claims:
    """Which jobs of each chunk have a place."""

    #: Indexes of the jobs that are in a line or a lease.
    claimed: defaultdict[str, set[int]] = field(default_factory=_indexes)
    #: Those of them that are in a lease.
    leased: defaultdict[str, set[int]] = field(default_factory=_indexes)
    #: When spans of a chunk are due that are not due when the chunk says.
    postponed: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    #: The fences of the leases that stay.
    fences: set[int] = field(default_factory=set)


def claim(inventory: Inventory, wanted: Wanted) -> Claims:
    """Gives each job that is met in a lease or a line one place at most."""
    claimer = _Claimer(inventory, wanted)
    claimer.walk_leases()
    claimer.walk_ready()
    claimer.walk_scheduled()
    return claimer.claims


class _Claimer:
    def __init__(self, inventory: Inventory, wanted: Wanted) -> None:
        self.claims = Claims()
        self._inventory = inventory
        self._stored = inventory.stored
        self._jobs = inventory.jobs
        self._wanted = wanted
        self._note = inventory.note

    def walk_leases(self) -> None:
        sessions = {name: deadline for name, deadline in self._stored["sessions"].items() if is_name(name)}
        self._wanted["sessions"].update(sessions)
        held: defaultdict[str, list[str]] = defaultdict(list)
        for name, value in self._stored["leases"].items():
            lease = parse_lease_name(name)
            if lease is not None and self._walk_lease(name, *lease, value):
                held[lease[0]].append(lease[1])
        for name, value in self._stored["leases"].items():
            if parse_lease_name(name) is not None:
                continue
            if name in sessions:
                self._wanted["leases"][name] = _held_value(value, held.pop(name, []))
            else:
                self._note(Finding.SESSION_ORPHANED, name)
        for name, fences in held.items():
            self._wanted["leases"][name] = _held_value(b"", fences)

    def _walk_lease(self, name: str, session: str, fence: str, value: bytes) -> bool:
        """Claims the jobs of a lease; False when none of it stays."""
        members = read_leased(value)
        if not _is_fence(fence) or session not in self._wanted["sessions"] or int(fence) in self.claims.fences:
            self._note(Finding.LEASE_ORPHANED, name, sum(member.ref.count for member in members))
            return False
        self.claims.fences.add(int(fence))
        kept = [part for member in members for part in self._claim(member, leased=True)]
        if kept:
            self._wanted["leases"][name] = leased_value(kept)
            self._wanted.count[Status.EXECUTING] += sum(member.ref.count for member in kept)
        return bool(kept)

    def walk_ready(self) -> None:
        for name, score in self._stored["ready"].items():
            member = read_ready(name, score.decode())
            if member is None:
                self._note(Finding.READY_UNREADABLE, name)
                continue
            for kept in self._claim(member):
                if kept.ref.kind == "detached":
                    self._jobs[kept.ref.text].waits = kept
                else:
                    self._wanted.put_ready(kept)

    def walk_scheduled(self) -> None:
        for name, score in self._stored["scheduled"].items():
            member = read_scheduled(name)
            if member is None:
                self._note(Finding.SCHEDULED_UNREADABLE, name)
                continue
            due_ms = self._usable_due(name, float(score))
            for kept in self._claim(member):
                self._schedule(kept, due_ms)

    def _usable_due(self, name: str, due_ms: float) -> int:
        if 0 <= due_ms <= _LATEST_MS:
            return int(due_ms)
        self._note(Finding.DUE_TIME_INVALID, name)
        return self._inventory.terms.now_ms

    def _schedule(self, member: Member, due_ms: int) -> None:
        due, ref = b"%d" % due_ms, member.ref
        if ref.kind == "detached":
            self._jobs[ref.text].waits, self._jobs[ref.text].due = member, due
            return
        self._wanted.put_scheduled(member, due)
        if ref.kind == "span" and due_ms != member.place.at_ms:
            self.claims.postponed[ref.chunk_id].append(due_ms)

    # These stay where they were met.

    def _claim(self, member: Member, *, leased: bool = False) -> list[Member]:
        """Returns the parts of a member that stay where it was met, with their right place in line."""
        ref = member.ref
        if ref.kind == "detached":
            return self._claim_detached(member, leased=leased)
        head = self._inventory.heads.get(ref.chunk_id)
        if head is None:
            self._lose(ref)
            return []
        if not _fits(ref, head):
            self._note(Finding.REF_INVALID, ref.text)
            return []
        if not _same_place(member.place, head.place):
            self._note(Finding.PLACE_WRONG, ref.text, ref.count)
        free = self._claim_in_chunk(ref, leased=leased)
        return [Member(head.place, ref.part(first, count), member.kind) for first, count in neighbours(free)]

    def _lose(self, ref: Ref) -> None:
        """Jobs of a chunk that is gone."""
        for index in range(ref.first, ref.first + ref.count):
            if job_ref(ref.chunk_id, index) not in self._jobs:
                self._inventory.lose(ref.part(index, 1), "its chunk is gone")

    def _claim_in_chunk(self, ref: Ref, *, leased: bool) -> Sequence[int]:
        """Claims those of the jobs that are nowhere else; returns the indexes of those that stay where they are."""
        free = [index for index in range(ref.first, ref.first + ref.count) if self._is_free(ref.chunk_id, index)]
        self.claims.claimed[ref.chunk_id].update(free)
        if leased:
            self.claims.leased[ref.chunk_id].update(free)
            return free
        # A job that has a record by now was to be cancelled while it was executing: it ends instead of waiting.
        return [index for index in free if job_ref(ref.chunk_id, index) not in self._jobs]

    def _is_free(self, chunk_id: str, index: int) -> bool:
        """Whether a job of a chunk is neither claimed, nor detached, nor finished."""
        name = job_ref(chunk_id, index)
        job = self._jobs.get(name)
        detached = job is not None and job.record.status != Status.EXECUTING
        finished = index in self._inventory.finished.get(chunk_id, ())
        if detached or finished or index in self.claims.claimed[chunk_id]:
            self._note(Finding.JOB_IN_SEVERAL_PLACES, name, 1)
            return False
        return True

    def _claim_detached(self, member: Member, *, leased: bool) -> list[Member]:
        job = self._jobs.get(member.ref.text)
        if job is None:
            if not self._inventory.take_back(member.ref):
                self._inventory.lose(member.ref, "its record is gone")
            return []
        status = job.record.status
        ended = status in ENDED and self._inventory.is_listed(member.ref.text, status)
        if ended or job.leased or job.waits is not None:
            self._note(Finding.JOB_IN_SEVERAL_PLACES, member.ref.text, 1)
            return []
        return [self._meet(member, job, leased=leased)]

    def _meet(self, member: Member, job: DetachedJob, *, leased: bool) -> Member:
        """Takes note of where a job with a record is; returns the member with its right place in line."""
        waiting = job.record.status in WAITING
        known, met = job.record.place, member.place
        if not _same_place(met, known):
            if waiting and len(known.sequence) == len(met.sequence):
                self._note(Finding.PLACE_WRONG, member.ref.text, 1)
                member = member._replace(place=known)
            else:
                job.record = job.record._replace(place=met)
        if leased:
            job.leased = True
            job.record = job.record if waiting else job.record._replace(status=Status.QUEUED)
        return member


def _fits(ref: Ref, head: ChunkHead) -> bool:
    return (ref.kind == "alone") == (head.n == 1) and ref.first + ref.count <= head.n


def _same_place(one: Place, other: Place) -> bool:
    return one.sequence == other.sequence and same_score(one.score, other.score)


def _is_fence(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _FENCE_DIGITS and text == str(int(text))


def _held_value(value: bytes, fences: list[str]) -> bytes:
    """What a session holds: its last request as it was, and the fences that exist."""
    held = HeldFences.read(value) or HeldFences()
    listed = [fence for fence in dict.fromkeys(held.fences) if fence in fences]
    return HeldFences(held.last, (*listed, *sorted(set(fences) - set(listed), key=int))).pack()
