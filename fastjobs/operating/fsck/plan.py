"""Works out what a queue should consist of from what it does consist of; pure arithmetic, without a server.

Every job gets one place. Where several things claim to know its place, the one that loses least wins: a job that may
not have run is put in line rather than forgotten, and one whose payload is gone is `failed`, with that as its reason.
For a queue in order the outcome is what is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from fastjobs.model.record import ErrorRecord, JobRecord
from fastjobs.operating.fsck import contents as stored
from fastjobs.operating.fsck.contents import ChunkHead, Contents, Marks, Member, Place, Record, Ref, same_score

#: Ids named per finding; all are counted.
MAX_NAMED = 20
#: Later than any due time, in milliseconds.
_LATEST_MS = 1e15
#: Statuses that are counted.
STATUSES = ("scheduled", "queued", "executing", "retrying", "finished", "failed", "cancelled")
_WAITING = ("queued", "scheduled", "retrying")
_INTEGERS = (
    *("enqueued_total", "finished_total", "retried_total", "failed_total", "cancelled_total", "redelivered_total"),
    *("tick", "grace_until", "moves"),
)


@dataclass(slots=True)
class Finding:
    """Something that is not as it has to be.

    Attributes:
        what: in words.
        jobs: how many jobs it concerns; 0 when none.
        ids: the first of the ids it concerns.
        lost: these jobs are lost: they did not run, or nobody knows, and their payload is gone.
    """

    what: str
    jobs: int = 0
    ids: list[str] = field(default_factory=list)
    lost: bool = False


@dataclass(slots=True)
class Write:
    """One change of one key; value None removes."""

    key: str
    name: bytes
    value: bytes | None


@dataclass(slots=True)
class Plan:
    """What is wrong, and what would put it right."""

    findings: list[Finding]
    #: In an order in which no job is ever nowhere, however far it is carried out.
    writes: list[Write]
    #: Written together with the last of them: counters that differ, with what they should be.
    counters: list[Write]
    #: Name -> (counted, there).
    miscounted: dict[str, tuple[str, int]]

    @property
    def clean(self) -> bool:
        """Whether all is as it has to be."""
        return not (self.findings or self.writes or self.counters)


def make_plan(contents: Contents, now_ms: int, keep_ms: int, seal: Callable[[str, bytes], bytes]) -> Plan:
    """Compares everything with everything.

    Args:
        contents: of one instant.
        now_ms: the server's clock then.
        keep_ms: how long finished jobs are kept of which it is not known.
        seal: makes of the ref and the body of a new record what is to be stored.
    """
    return _Planner(contents, now_ms, keep_ms, seal).plan()


@dataclass(slots=True)
class _Job:
    """A job with a record, and the places where it was met."""

    record: Record
    leased: bool = False
    waits: Member | None = None
    due: bytes = b""


class _Planner:
    def __init__(self, contents: Contents, now_ms: int, keep_ms: int, seal: Callable[[str, bytes], bytes]) -> None:
        self._is = contents
        self._now_ms = now_ms
        self._keep_ms = keep_ms
        self._seal = seal
        self._findings: dict[str, Finding] = {}
        #: What the keys should hold.
        self._want: dict[str, dict[bytes, bytes]] = {
            name: {} for name in (*stored.HASHES, *stored.ZSETS) if name != "stats"
        }
        self._heads: dict[bytes, ChunkHead] = {}
        self._jobs: dict[bytes, _Job] = {}
        #: Indexes of each chunk's jobs that are in a line or a lease.
        self._claimed: dict[bytes, set[int]] = {}
        self._leased: dict[bytes, set[int]] = {}
        #: Indexes of each chunk whose record is gone, but not the payload: they return to their chunk.
        self._returned: dict[bytes, set[int]] = {}
        self._marks: dict[bytes, Marks] = {}
        #: When spans of a chunk are due that are not due when the chunk says.
        self._postponed: dict[bytes, list[int]] = {}
        self._segments: dict[bytes, bytes] = {}
        self._finished: dict[bytes, set[int]] = {}
        self._logged: dict[bytes, tuple[int, bytes]] = {}
        self._count: Counter[str] = Counter(dict.fromkeys(STATUSES, 0))
        self._types: Counter[bytes] = Counter()
        self._fence = 0
        self._sequence = int(now_ms * 1000)

    def plan(self) -> Plan:
        self._read_chunks()
        self._read_history()
        self._read_records()
        self._walk_leases()
        self._walk_ready()
        self._walk_scheduled()
        self._settle_records()
        self._settle_chunks()
        self._settle_recurring()
        counters = self._stats()
        return Plan(
            list(self._findings.values()),
            list(self._differences()),
            [write for write, _ in counters],
            {write.name.decode("latin-1"): there for write, there in counters if there is not None},
        )

    def _note(self, what: str, name: bytes | str = b"", jobs: int = 0, *, lost: bool = False) -> None:
        finding = self._findings.setdefault(what, Finding(what, lost=lost))
        finding.jobs += jobs
        if name and len(finding.ids) < MAX_NAMED:
            finding.ids.append(name if isinstance(name, str) else name.decode("utf-8", "replace"))

    # What there is.

    def _read_chunks(self) -> None:
        for name, value in self._is["chunks"].items():
            head = ChunkHead.parse(value)
            if head is None:
                self._note("chunks that cannot be read are removed", name)
                continue
            if not stored.is_id(name):
                self._note("chunks under a name that is no id are removed", name, head.n, lost=True)
                continue
            self._heads[name] = head
        for name, value in self._is["marks"].items():
            marks = Marks.parse(value)
            if marks is None:
                self._note("marks that cannot be read are made anew", name)
            elif name in self._heads:
                self._marks[name] = marks

    def _read_records(self) -> None:
        for name, value in self._is["jobs"].items():
            ref = Ref.parse(name)
            if ref is None or ref.kind != "detached":
                self._note("records without a job id are removed", name)
                continue
            record = Record.parse(value)
            if record is None:
                if name in self._is["cancelled"] or name in self._logged:
                    self._note("ended jobs whose record cannot be read are forgotten", name, 1)
                    continue
                if self._payload_is_in_chunk(ref):
                    self._note("jobs whose record was lost run again from their chunk", name, 1)
                    self._returned.setdefault(ref.id, set()).add(ref.first)
                    continue
                record = self._lost(name, "its record cannot be read")
            elif not record.state:
                self._note("records whose state was lost are put where they were met", name, 1)
            self._jobs[name] = _Job(record)

    def _read_history(self) -> None:
        for name, value in self._is["finished"].items():
            head = self._heads.get(name)
            if head is None:
                self._note("times of jobs of no chunk are forgotten", name)
                continue
            met: set[int] = set()
            parts = []
            for first, count, segment in stored.read_segments(value, head.n):
                indexes = set(range(first, first + count))
                if not met & indexes:
                    met |= indexes
                    parts.append(segment)
            self._finished[name], self._segments[name] = met, b"".join(parts)
            if self._segments[name] != value:
                self._note("times that cannot be read are forgotten", name)
        for member, forget_ms in self._is["finished_log"].items():
            logged = stored.read_logged(member)
            if logged is None:
                self._note("entries of the finished log that cannot be read are removed", member)
                continue
            number, ref = logged
            name = ref.pack()
            if name in self._logged:
                self._note("entries of the finished log that are there twice are removed", member)
            if name not in self._logged or number > self._logged[name][0]:
                self._logged[name] = (number, forget_ms)

    def _payload_is_in_chunk(self, ref: Ref) -> bool:
        head = self._heads.get(ref.id)
        return head is not None and ref.first < head.n

    def _lost(self, job: bytes, why: str, *, alone: bool = False) -> Record:
        """The record of a job whose payload is gone."""
        self._note("jobs whose payload is gone have failed", job, 1, lost=True)
        chunk_id, _, index = job.decode("utf-8", "replace").partition("~")
        # Whether it was alone in its chunk is known to who met it there.
        body = JobRecord(id=chunk_id if alone else f"{chunk_id}~{index}", type="", payload=None)
        body.add_error(ErrorRecord(type="PayloadMissing", message=f"payload missing: {why}", at_ms=self._now_ms))
        sealed = self._seal(f"{chunk_id}~{index}", body.encode())
        return Record("failed", Place(b"0", b"0"), self._now_ms, b"-", b"", sealed)

    # Where jobs are met: leases first, then lines.

    def _walk_leases(self) -> None:
        sessions = {name: deadline for name, deadline in self._is["sessions"].items() if stored.is_id(name)}
        self._want["sessions"] = sessions
        held: dict[bytes, list[bytes]] = {}
        fences: set[int] = set()
        for name, value in self._is["leases"].items():
            session, colon, fence = name.rpartition(b":")
            if not colon:
                continue
            if not _is_fence(fence) or session not in sessions or int(fence) in fences:
                jobs = sum(member.ref.count for member in stored.read_lease(value))
                self._note(
                    "leases of sessions that do not exist, or of no fence of their own, are given back", name, jobs
                )
                continue
            fences.add(int(fence))
            members = [kept for member in stored.read_lease(value) for kept in self._claim(member, "executing")]
            if members:
                self._want["leases"][name] = b" ".join(member.pack_leased() for member in members)
                held.setdefault(session, []).append(fence)
            self._count["executing"] += sum(member.ref.count for member in members)
        for name, value in self._is["leases"].items():
            if b":" not in name and name in sessions:
                self._want["leases"][name] = _held_line(value, held.pop(name, []))
            elif b":" not in name:
                self._note("what sessions that do not exist are said to hold is removed", name)
        for name, listed in held.items():
            self._want["leases"][name] = _held_line(b"", listed)
        self._fence = max(fences, default=0)

    def _walk_ready(self) -> None:
        for name, score in self._is["ready"].items():
            member = stored.read_ready(name, score)
            if member is None:
                self._note("members of ready that cannot be read are removed", name)
                continue
            for kept in self._claim(member, "queued"):
                if kept.ref.kind == "detached":
                    self._jobs[kept.ref.job].waits = kept
                else:
                    self._put_ready(kept)

    def _walk_scheduled(self) -> None:
        for name, score in self._is["scheduled"].items():
            member = stored.read_scheduled(name)
            if member is None:
                self._note("members of scheduled that cannot be read are removed", name)
                continue
            due = self._usable_due(name, score)
            for kept in self._claim(member, "scheduled"):
                if kept.ref.kind == "detached":
                    self._jobs[kept.ref.job].waits, self._jobs[kept.ref.job].due = kept, due
                else:
                    self._put_scheduled(kept, due)
                    due_ms = int(due)
                    if kept.ref.kind == "span" and due_ms != int(kept.place.sequence, 16) // 1000:
                        self._postponed.setdefault(kept.ref.id, []).append(due_ms)

    def _usable_due(self, name: bytes, due: bytes) -> bytes:
        """The time as scripts write it; now for one that is none."""
        number = float(due)
        if 0 <= number <= _LATEST_MS:
            return b"%d" % number
        self._note("jobs that were scheduled for no time at all are due", name)
        return b"%d" % self._now_ms

    def _put_ready(self, member: Member) -> None:
        name = member.pack_ready()
        self._want["ready"][name] = member.place.score
        self._count["queued"] += member.ref.count

    def _put_scheduled(self, member: Member, due: bytes) -> None:
        self._want["scheduled"][member.pack_scheduled()] = due
        self._count["retrying" if member.kind == b"r" else "scheduled"] += member.ref.count

    def _claim(self, member: Member, status: str) -> list[Member]:
        """What of a member stays where it was met, with its right place in line."""
        if member.ref.kind == "detached":
            return self._claim_detached(member, status)
        ref = member.ref
        head = self._heads.get(ref.id)
        if head is None:
            for index in range(ref.first, ref.first + ref.count):
                self._claim_lost(ref, index)
            return []
        if (ref.kind == "alone") != (head.n == 1) or ref.first + ref.count > head.n:
            self._note("refs that do not fit their chunk are removed", ref.pack())
            return []
        if member.place != head.place and not _same_place(member.place, head.place):
            self._note("jobs that stood at a wrong place are moved", ref.pack(), ref.count)
        claimed = self._claimed.setdefault(ref.id, set())
        finished = self._finished.get(ref.id, set())
        free = []
        for index in range(ref.first, ref.first + ref.count):
            job = self._jobs.get(b"%s~%d" % (ref.id, index))
            detached = job is not None and job.record.state != "executing"
            if index in claimed or detached or index in finished:
                self._note("jobs that were in several places are in one", b"%s~%d" % (ref.id, index), 1)
            else:
                free.append(index)
        claimed.update(free)
        if status == "executing":
            self._leased.setdefault(ref.id, set()).update(free)
        elif free:
            # What has a record by now was to be cancelled while it was executing: it ends instead of waiting.
            free = [index for index in free if b"%s~%d" % (ref.id, index) not in self._jobs]
        return [Member(head.place, ref.part(first, count), member.kind) for first, count in _runs(free)]

    def _claim_lost(self, ref: Ref, index: int) -> None:
        """A job of a chunk that is not there."""
        job = b"%s~%d" % (ref.id, index)
        if job not in self._jobs:
            self._jobs[job] = _Job(self._lost(job, "its chunk is gone", alone=ref.kind == "alone"))

    def _claim_detached(self, member: Member, status: str) -> list[Member]:
        name = member.ref.job
        job = self._jobs.get(name)
        if job is None:
            if self._payload_is_in_chunk(member.ref):
                self._note("jobs whose record was lost run again from their chunk", name, 1)
                self._returned.setdefault(member.ref.id, set()).add(member.ref.first)
                return []
            self._jobs[name] = _Job(self._lost(name, "its record is gone"))
            return []
        state = job.record.state
        ended = state in ("failed", "cancelled", "finished") and self._is_in_set(name, state)
        if ended or job.leased or job.waits is not None:
            self._note("jobs that were in several places are in one", name, 1)
            return []
        if status == "executing":
            job.leased = True
        if not _same_place(member.place, job.record.place):
            if state in _WAITING and len(job.record.place.sequence) == len(member.place.sequence):
                self._note("jobs that stood at a wrong place are moved", name, 1)
                member = member._replace(place=job.record.place)
            else:
                job.record.place = member.place
        if state not in _WAITING and status == "executing":
            job.record.state = "queued"
        return [member]

    def _is_in_set(self, name: bytes, state: str) -> bool:
        return name in (self._logged if state == "finished" else self._is[state])

    # Where they belong.

    def _settle_records(self) -> None:
        for name in (*self._is["failed"], *self._is["cancelled"], *self._is["cancelling"]):
            if name not in self._jobs:
                self._settle_without_record(name)
        for name, job in self._jobs.items():
            self._settle_record(name, job)
            if name in self._is["marks"] and job.record.state != "executing" and Marks.parse(self._is["marks"][name]):
                self._want["marks"][name] = self._is["marks"][name]

    def _settle_without_record(self, name: bytes) -> None:
        """A job that is said to have ended, or is to be cancelled, and has no record."""
        ref = Ref.parse(name)
        if name in self._is["cancelling"] and name not in self._is["failed"] and name not in self._is["cancelled"]:
            self._note("requests to cancel a job that is not executing are forgotten", name)
        elif ref is None or ref.kind != "detached":
            self._note("failed and cancelled jobs without a job id are removed", name)
        elif name in self._is["failed"] and self._payload_is_in_chunk(ref):
            self._note("jobs whose record was lost run again from their chunk", name, 1)
            self._returned.setdefault(ref.id, set()).add(ref.first)
        elif name in self._is["failed"]:
            self._jobs[name] = _Job(self._lost(name, "its record is gone"))
        else:
            self._note("cancelled jobs without a record are forgotten", name)

    def _settle_record(self, name: bytes, job: _Job) -> None:
        record = job.record
        sets = [state for state in ("failed", "cancelled", "finished") if self._is_in_set(name, state)]
        before = record.state
        if before == "executing":
            self._settle_cancelling(name, job)
            return
        if before in sets:
            pass
        elif job.leased or job.waits is not None:
            if before not in _WAITING:
                record.state = "queued"
                if job.due and job.waits is not None:
                    record.state = "retrying" if job.waits.kind == b"r" else "scheduled"
        elif sets:
            record.state = sets[0]
        elif before not in ("failed", "cancelled", "finished"):
            self._put_back(name, job)
        if before != record.state or (sets and sets != [record.state]):
            self._note("records that did not say where the job was, do", name, 1)
        if job.leased and name in self._is["cancelling"]:
            self._want["cancelling"][name] = self._is["cancelling"][name]
        elif name in self._is["cancelling"]:
            self._note("requests to cancel a job that is not executing are forgotten", name)
        self._place_record(name, job)

    def _settle_cancelling(self, name: bytes, job: _Job) -> None:
        """A record that says that the job, still in its chunk, is executing and to be cancelled."""
        ref = Ref.parse(name)
        assert ref is not None
        record = job.record
        if ref.first in self._leased.get(ref.id, ()):
            if name not in self._is["cancelling"]:
                self._note("requests to cancel that were lost are made again", name, 1)
            self._want["cancelling"][name] = self._is["cancelling"].get(name, b"%d" % record.at_ms)
            self._want["jobs"][name] = record.pack()
            return
        self._note("jobs that were to be cancelled are cancelled", name, 1)
        self._claimed.get(ref.id, set()).discard(ref.first)
        record.state, record.at_ms = "cancelled", self._now_ms
        self._place_record(name, job)

    def _put_back(self, name: bytes, job: _Job) -> None:
        """Puts a job in line that is nowhere."""
        record = job.record
        self._note("jobs that were nowhere are put in line", name, 1)
        if len(record.place.sequence) != stored.SEQUENCE_DIGITS:
            record.place = Place(record.place.score, self._next_sequence())
        ref = Ref.parse(name)
        assert ref is not None
        delayed = record.state in ("scheduled", "retrying") and record.at_ms > self._now_ms
        if delayed:
            job.due = b"%d" % record.at_ms
        elif record.state not in _WAITING:
            record.state = "queued"
        job.waits = Member(record.place, ref, b"r" if record.state == "retrying" else b"s")

    def _next_sequence(self) -> bytes:
        self._sequence += 1
        return b"%013x" % self._sequence

    def _place_record(self, name: bytes, job: _Job) -> None:
        record = job.record
        if record.state in ("failed", "cancelled"):
            if name not in self._is[record.state]:
                self._note("failed and cancelled jobs that were not listed are", name, 1)
            self._want[record.state][name] = self._is[record.state].get(name, b"%d" % record.at_ms)
            self._count[record.state] += 1
            self._types[f"{record.state}:".encode() + record.type] += 1
        elif record.state == "finished":
            forget_ms = self._logged[name][1] if name in self._logged else b"%d" % (self._now_ms + self._keep_ms)
            self._want["finished_log"][b"1 " + name] = forget_ms
            self._count["finished"] += 1
        elif job.waits is not None and job.due:
            self._put_scheduled(job.waits, job.due)
        elif job.waits is not None:
            self._put_ready(job.waits)
        before = self._is["jobs"].get(name, b"")
        # Numbers written in another way are the same numbers.
        self._want["jobs"][name] = record.pack()
        if before and Record.parse(before) == record:
            self._want["jobs"][name] = before

    def _settle_chunks(self) -> None:
        records: dict[bytes, set[int]] = {}
        for name, job in self._jobs.items():
            chunk_id, _, index = name.partition(b"~")
            if job.record.state != "executing":
                records.setdefault(chunk_id, set()).add(int(index))
        for chunk_id, head in self._heads.items():
            self._settle_chunk(chunk_id, head, records.get(chunk_id, set()))
        for name, (number, _) in self._logged.items():
            if b"~" not in name and name not in self._heads:
                self._note("finished jobs whose chunk is gone are forgotten", name, number)
            elif b"~" in name and (name not in self._jobs or self._jobs[name].record.state != "finished"):
                self._note("entries of the finished log without a record are removed", name)
        for name in self._is["marks"]:
            if name not in self._want["marks"] and name not in self._heads:
                self._note("marks of what does not exist are removed", name)

    def _settle_chunk(self, chunk_id: bytes, head: ChunkHead, records: set[int]) -> None:
        everything = set(range(head.n))
        records &= everything
        claimed = self._claimed.get(chunk_id, set())
        finished = self._finished.get(chunk_id, set())
        marks = self._marks.get(chunk_id)
        listed = set(marks.detached) & everything if marks else set()
        left = (listed - claimed - self._returned.get(chunk_id, set())) | records
        missing = everything - finished - left - claimed
        logged = self._logged.get(chunk_id)
        if missing and logged and not claimed:
            self._note("finished jobs whose times are gone are forgotten", chunk_id, len(missing))
            left |= missing
        elif missing:
            self._note("jobs that were nowhere are put in line", chunk_id, len(missing))
            self._put_chunk_back(chunk_id, head, missing)
            claimed = claimed | missing
        self._keep_chunk(chunk_id, marks, finished, left, claimed, logged)

    def _put_chunk_back(self, chunk_id: bytes, head: ChunkHead, missing: set[int]) -> None:
        due_ms = int(head.place.sequence, 16) // 1000
        whole = Ref(chunk_id, 0, 1, "alone" if head.n == 1 else "span")
        for first, count in _runs(sorted(missing)):
            member = Member(head.place, whole.part(first, count), b"s")
            if due_ms > self._now_ms:
                self._put_scheduled(member, b"%d" % due_ms)
            else:
                self._put_ready(member)

    def _keep_chunk(
        self,
        chunk_id: bytes,
        marks: Marks | None,
        finished: set[int],
        left: set[int],
        claimed: set[int],
        logged: tuple[int, bytes] | None,
    ) -> None:
        kept = finished - left
        keep_ms = marks.keep_ms if marks else self._keep_ms
        order = [index for index in dict.fromkeys(marks.detached) if index in left] if marks else []
        detached = order + sorted(left - set(order))
        if claimed:
            if logged:
                self._note("chunks that were said to be over are not", chunk_id)
            self._want["chunks"][chunk_id] = self._is["chunks"][chunk_id]
            if finished:
                self._want["finished"][chunk_id] = self._segments[chunk_id]
            postponed = list(dict.fromkeys([*(marks.postponed if marks else ()), *self._postponed.get(chunk_id, ())]))
            if marks or finished or left or postponed:
                self._want["marks"][chunk_id] = Marks(
                    len(finished | left),
                    marks.redeliveries if marks else 0,
                    len(kept),
                    keep_ms if finished else marks.keep_ms if marks else 0,
                    detached,
                    postponed,
                ).pack()
            self._count["finished"] += len(kept) if keep_ms and finished else 0
            return
        if not kept or (not logged and not keep_ms):
            if kept or left or not logged:
                self._note("chunks that were over are removed", chunk_id)
            return
        self._want["chunks"][chunk_id] = self._is["chunks"][chunk_id]
        self._want["finished"][chunk_id] = self._segments[chunk_id]
        if logged is None:
            self._note("finished chunks that were not listed are", chunk_id, len(kept))
        forget_ms = logged[1] if logged else b"%d" % (self._now_ms + keep_ms)
        self._want["finished_log"][b"%d %s" % (len(kept), chunk_id)] = forget_ms
        self._count["finished"] += len(kept)
        if left:
            before = marks or Marks(0, 0, 0, 0, [])
            self._want["marks"][chunk_id] = Marks(
                before.done, before.redeliveries, len(kept), before.keep_ms, detached, before.postponed
            ).pack()

    def _settle_recurring(self) -> None:
        for name, value in self._is["recurring"].items():
            definition = stored.read_definition(value)
            if definition is None:
                self._note("recurring jobs that cannot be read are removed", name, lost=True)
                continue
            self._want["recurring"][name] = value
            _, active, due_ms = definition
            due = b"%d" % due_ms
            if active:
                if not same_score(self._is["recurring_due"].get(name, b""), due):
                    self._note("recurring jobs that were not due when they say so are", name)
                self._want["recurring_due"][name] = due
        for name in self._is["recurring_due"]:
            if name not in self._want["recurring_due"]:
                self._note("due times of no recurring job are removed", name)

    # The outcome.

    def _stats(self) -> list[tuple[Write, tuple[str, int] | None]]:
        """The counters to write, each with (counted, there) when it counts jobs."""
        stats = self._is["stats"]
        found: list[tuple[Write, tuple[str, int] | None]] = []
        there = {name.encode(): number for name, number in self._count.items()}
        for name, number in there.items():
            if _integer(stats.get(name, b"0")) != number:
                was = stats.get(name, b"0").decode("utf-8", "replace")
                found.append((Write("stats", name, b"%d" % number), (was, number)))
        for name in sorted({name for name in stats if name.startswith((b"failed:", b"cancelled:"))} | set(self._types)):
            number = self._types[name]
            if name not in stats or _integer(stats[name]) != number or not number:
                was = stats.get(name, b"0").decode("utf-8", "replace")
                found.append((Write("stats", name, b"%d" % number if number else None), (was, number)))
        found += [(write, None) for write in self._other_stats(stats)]
        return found

    def _other_stats(self, stats: dict[bytes, bytes]) -> Iterator[Write]:
        """Fields that scripts could not use."""
        for name in (text.encode() for text in _INTEGERS):
            if name in stats and _integer(stats[name]) is None:
                self._note("counters that are no numbers are forgotten", name)
                yield Write("stats", name, None)
        for name in stats:
            if not stored.is_id(name) and not name.startswith((b"failed:", b"cancelled:")):
                self._note("counters under no name are removed", name)
                yield Write("stats", name, None)
        if b"sequence" in stats and not _is_sequence(stats[b"sequence"]):
            self._note("the sequence was none", b"sequence")
            yield Write("stats", b"sequence", None)
        for name, least in ((b"fence", self._fence), (b"recurring_revision", self._revision())):
            number = _integer(stats.get(name, b"0"))
            if number is None or number < least:
                self._note("counters that would give a number twice are moved on", name)
                yield Write("stats", name, b"%d" % least)

    def _revision(self) -> int:
        found = (stored.read_definition(value) for value in self._is["recurring"].values())
        return max((definition[0] for definition in found if definition), default=0)

    def _differences(self) -> Iterator[Write]:
        """What to write: payload and records first, then where jobs are, then what goes."""
        order = ("jobs", "marks", "finished", "recurring", "failed", "cancelled", "finished_log", "ready", "scheduled")
        names = (*order, "cancelling", "recurring_due", "leases", "sessions", "chunks")
        for key in names:
            have = self._is[key]
            for name, value in self._want[key].items():
                before = have.get(name)
                if before is None or not (before == value or (key in stored.ZSETS and same_score(before, value))):
                    yield Write(key, name, value)
        for key in names:
            for name in self._is[key]:
                if name not in self._want[key]:
                    yield Write(key, name, None)


def _runs(indexes: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Takes sorted indexes together: (first, count) of each run of neighbours."""
    for _, group in groupby(enumerate(indexes), lambda pair: pair[1] - pair[0]):
        run = [index for _, index in group]
        yield run[0], len(run)


def _held_line(value: bytes, fences: list[bytes]) -> bytes:
    """What a session holds: its last request as it was, and the fences that exist."""
    held = stored.read_held(value)
    last, listed = held or (b"0:0", [])
    kept = [fence for fence in dict.fromkeys(listed) if fence in fences]
    kept += sorted((fence for fence in fences if fence not in kept), key=int)
    return b" ".join([last, *kept])


def _same_place(one: Place, other: Place) -> bool:
    return one.sequence == other.sequence and same_score(one.score, other.score)


def _is_fence(text: bytes) -> bool:
    return text.isdigit() and len(text) <= 15 and text == b"%d" % int(text)


def _integer(text: bytes) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _is_sequence(text: bytes) -> bool:
    try:
        return len(text) == stored.SEQUENCE_DIGITS and int(text, 16) >= 0
    except ValueError:
        return False
