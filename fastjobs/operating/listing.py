"""Lists the jobs of a partition with a status, page by page, in the order they run or ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

import orjson

from fastjobs.errors import ConfigError
from fastjobs.model.numbers import parse_due
from fastjobs.model.record import JobRecord
from fastjobs.model.refs import (
    BEHIND_ALL,
    JobAddress,
    Ref,
    job_ref,
    read_logged,
    read_ready,
    read_ref,
    read_scheduled,
)
from fastjobs.model.status import Status
from fastjobs.model.stored import Marks, Times, segments
from fastjobs.operating.bound import Bound
from fastjobs.operating.leased import leases
from fastjobs.operating.stored_jobs import StoredChunk, decode_record
from fastjobs.store.batch import Reply
from fastjobs.store.replies import SetPage
from fastjobs.store.store import Batch, Store

#: Sorted set that lists the jobs of a status.
SETS = {
    Status.QUEUED: "ready",
    Status.SCHEDULED: "scheduled",
    Status.RETRYING: "scheduled",
    Status.FAILED: "failed",
    Status.CANCELLED: "cancelled",
    Status.FINISHED: "finished_log",
}
#: Takes the place of a score when the position names a chunk that is not in the log yet.
_UNLOGGED = "unlogged"
#: Chunks that are not in the log yet, read in one step.
_SCAN_STEP = 100


@dataclass(slots=True)
class ListedJob:
    """A job as a listing returns it."""

    address: JobAddress
    status: Status
    #: When it is due (ms since 1970) if it waits for its time, else 0.
    due_at_ms: int
    record: JobRecord
    #: The stored record of a detached job; b"" for a job in its chunk.
    stored: bytes = b""


#: The score and member of an entry; for executing jobs the lease and the ref that the job has when it is detached.
_Position = tuple[str, str]


class _Entry(NamedTuple):
    """Jobs that a set or a lease names together: neighbours, a detached job, or the finished jobs of a chunk."""

    ref: Ref
    due_at_ms: int = 0
    #: Of an entry for a chunk's finished jobs: how many there are.
    finished: int | None = None

    @property
    def chunk_id(self) -> str:
        return self.ref.chunk_id

    @property
    def detached(self) -> bool:
        return self.ref.kind == "detached"

    @property
    def number(self) -> int:
        return self.ref.count if self.finished is None else self.finished


#: An entry with its position, and whether more may follow.
_Found = tuple[_Position, _Entry, bool]


class _Cursor(NamedTuple):
    """Where the next page begins."""

    #: Of the last entry whose jobs have all been listed; None = from the beginning.
    after: _Position | None = None
    #: The chunk and score of an entry some of whose jobs have been listed, and the place of the next job in the chunk.
    chunk_id: str = ""
    score: str = ""
    start: int = 0

    @staticmethod
    def parse(text: str | None) -> _Cursor:
        if text is None:
            return _Cursor()
        try:
            after, chunk_id, score, start = orjson.loads(text)
            position = None if after is None else (str(after[0]), str(after[1]))
            return _Cursor(position, str(chunk_id), str(score), int(start))
        except (ValueError, TypeError, IndexError) as error:
            raise ConfigError(f"cursor {text!r} does not come from a page") from error

    def pack(self) -> str:
        return orjson.dumps(list(self)).decode()

    def has_begun(self, position: _Position, entry: _Entry) -> bool:
        """Whether some jobs of an entry may have been listed.

        Other jobs of the same chunk may come later with another score, if they were postponed. A chunk's finished jobs
        are one entry, whose score may have changed.
        """
        same_score = position[0] == self.score and not entry.detached
        return entry.chunk_id == self.chunk_id and (entry.finished is not None or same_score)


class Page(NamedTuple):
    """Some jobs, and where the next page begins."""

    jobs: list[ListedJob]
    #: None after the last page.
    cursor: str | None


class Listing:
    """Lists jobs of a partition.

    Args:
        store: of the calling thread.
        partition: which partition of a queue.
        status: which jobs.
        reverse: from the end of the line, or the latest first.
        bound: leave out what is beyond; not with `reverse`, which never meets what comes.
    """

    def __init__(
        self, store: Store, partition: str, status: Status, *, reverse: bool = False, bound: Bound | None = None
    ) -> None:
        self._store = store
        self._partition = partition
        self._status = status
        self._reverse = reverse
        self._bound = bound

    def page(self, cursor: str | None, limit: int) -> Page:
        """Reads a page.

        Args:
            cursor: of the page before; None = from the beginning.
            limit: most jobs on the page.

        Raises:
            ConfigError: the cursor does not come from a page.
        """
        begin = _Cursor.parse(cursor)
        entries, more = self._entries(begin, limit)
        jobs: list[ListedJob] = []
        after = begin.after
        for (position, entry), stored in zip(entries, self._load([entry for _, entry in entries]), strict=True):
            for job in self._jobs(entry, stored):
                if begin.has_begun(position, entry) and self._is_before(job, begin.start):
                    continue
                if len(jobs) == limit:
                    return Page(jobs, _next_cursor(after, position, entry, job).pack())
                jobs.append(job)
            after = position
        return Page(jobs, _Cursor(after).pack() if more else None)

    def _entries(self, begin: _Cursor, limit: int) -> tuple[list[tuple[_Position, _Entry]], bool]:
        """Entries with enough jobs for a page, and whether more may follow."""
        source = self._executing if self._status is Status.EXECUTING else self._listed
        entries: list[tuple[_Position, _Entry]] = []
        number, more = 0, False
        for position, entry, more in source(begin.after, limit):  # noqa: B007 - the last one's is returned
            entries.append((position, entry))
            number += 0 if begin.has_begun(position, entry) else entry.number
            if number >= limit:
                break
        return entries, more

    def _is_before(self, job: ListedJob, start: int) -> bool:
        """Whether a job was on the page before, by its place in its chunk; its span may have been cut since."""
        place = job.address.position
        return place > start if self._reverse else place < start

    def _listed(self, after: _Position | None, limit: int) -> Iterator[_Found]:
        """Yields the entries of the sorted set of the status that follow a position."""
        if after is not None and after[0] == _UNLOGGED:
            yield from self._unlogged(after[1])
            return
        more = True
        while more:
            page = self._page(after, limit + 1)
            after, more = page.after, page.after is not None
            for place, (member, score) in enumerate(page.entries, 1):
                if self._bound is not None and self._bound.is_passed(score):
                    more = False
                    break
                entry = self._parse(member, score)
                if self._is_new(member, score):
                    # So are all that follow with this priority.
                    after, more = (score, BEHIND_ALL), True
                    break
                if entry is not None:
                    yield (score, member), entry, place < len(page.entries) or more or self._status is Status.FINISHED
        if self._status is Status.FINISHED:
            yield from self._unlogged("")

    def _page(self, after: _Position | None, limit: int) -> SetPage:
        """Reads entries of the sorted set of the status."""
        # Scheduled and retrying jobs share a set, in which the one kind may hide far behind the other.
        kind = self._status[0] if self._status in (Status.SCHEDULED, Status.RETRYING) else ""
        batch = self._store.batch()
        number = batch.counter(self._partition, self._status.value)
        page = batch.page(self._partition, SETS[self._status], after, limit, reverse=self._reverse, kind=kind)
        batch.run()
        return SetPage([], None) if kind and not number.value else page.value

    def _unlogged(self, after: str) -> Iterator[_Found]:
        """Yields the chunks behind one that go on and have finished jobs that are kept: they are not in the log yet."""
        while True:
            chunks, more = self._store.batch().finishing_chunks(self._partition, after, _SCAN_STEP).run()
            batch = self._store.batch()
            replies = [batch.stored_marks(self._partition, chunk_id) for chunk_id in chunks]
            batch.run()
            for place, (chunk_id, reply) in enumerate(zip(chunks, replies, strict=True), 1):
                marks, ref = Marks.read(reply.value or b""), read_ref(chunk_id)
                if marks and ref and marks.finished and marks.keep_ms:
                    entry = _Entry(ref, finished=marks.finished)
                    yield (_UNLOGGED, chunk_id), entry, place < len(chunks) or more
            if not more:
                return
            after = chunks[-1]

    def _executing(self, after: _Position | None, _limit: int) -> Iterator[_Found]:
        """Yields the jobs of all leases one by one: lease by lease, and in each in the order of their ids."""
        found = self._leased(after)
        entry = next(found, None)
        while entry is not None:
            following = next(found, None)
            yield *entry, following is not None
            entry = following

    def _leased(self, after: _Position | None) -> Iterator[tuple[_Position, _Entry]]:
        """Yields the jobs of leases that follow a position, each with its lease and its ref there."""
        lease, job = after or ("", "")
        last = read_ref(job) or Ref("", -1, 0, "alone")
        for name, members in leases(self._store, self._partition, lease):
            refs = [member.ref for member in members if self._bound is None or not self._bound.is_new(member)]
            for part in sorted(ref.part(index, 1) for ref in refs for index in range(ref.first, ref.first + ref.count)):
                if name != lease or part[:2] > last[:2]:
                    yield (name, job_ref(part.chunk_id, part.first)), _Entry(part)

    def _is_new(self, member: str, score: str) -> bool:
        """Whether a member of the line was put there after the bound was drawn."""
        if self._bound is None or self._status is not Status.QUEUED:
            return False
        waiting = read_ready(member, score)
        return waiting is not None and self._bound.is_new(waiting)

    def _parse(self, member: str, score: str) -> _Entry | None:
        """Reads a member of the status's set; None when it is of another status, or cannot be read."""
        if self._status is Status.QUEUED:
            waiting = read_ready(member, score)
            return _Entry(waiting.ref) if waiting else None
        if self._status in (Status.SCHEDULED, Status.RETRYING):
            met = read_scheduled(member)
            return _Entry(met.ref, parse_due(score)) if met and met.kind == self._status[0] else None
        if self._status is Status.FINISHED:
            number, ref = read_logged(member) or (0, None)
            return _Entry(ref, finished=None if ref.kind == "detached" else number) if ref else None
        ref = read_ref(member)
        return _Entry(ref) if ref and ref.kind == "detached" else None

    def _load(self, entries: list[_Entry]) -> list[list[bytes | None]]:
        """Reads what is stored of each entry: a record, or a chunk with its finished segments and marks."""
        batch = self._store.batch()
        replies = [self._add_look(batch, entry) for entry in entries]
        batch.run()
        return [[reply.value for reply in of_entry] for of_entry in replies]

    def _add_look(self, batch: Batch, entry: _Entry) -> list[Reply[bytes | None]]:
        if entry.detached:
            return [batch.stored_record(self._partition, entry.ref.text)]
        chunk = batch.stored_chunk(self._partition, entry.chunk_id)
        if entry.finished is None:
            return [chunk]
        ended = batch.stored_segments(self._partition, entry.chunk_id)
        going_on = batch.finishing_segments(self._partition, entry.chunk_id)
        return [chunk, ended, going_on, batch.stored_marks(self._partition, entry.chunk_id)]

    def _jobs(self, entry: _Entry, stored: list[bytes | None]) -> Iterator[ListedJob]:
        """Yields the jobs of an entry; none if they are gone by now."""
        if stored[0] is None:
            return
        if entry.detached:
            ref = entry.ref.text
            record = decode_record(self._store, self._partition, ref, ref, stored[0])
            address = JobAddress(entry.chunk_id, entry.ref.first, record.id == entry.chunk_id)
            yield ListedJob(address, self._status, entry.due_at_ms, record, stored[0])
            return
        chunk = StoredChunk(self._store, self._partition, entry.chunk_id, stored[0])
        # In the order of the chunk, not as they finished: the next page begins at the place where this one ends.
        for index, times in sorted(_positions(entry, stored), key=itemgetter(0), reverse=self._reverse):
            if not chunk.holds(index):
                continue
            address = JobAddress(entry.chunk_id, index, chunk.n == 1)
            yield ListedJob(address, self._status, entry.due_at_ms, chunk.record(index, times))


def _positions(entry: _Entry, stored: list[bytes | None]) -> Iterator[tuple[int, Times | None]]:
    """Yields the places in the chunk that an entry names, with the times of finished jobs."""
    if entry.finished is None:
        yield from ((index, None) for index in range(entry.ref.first, entry.ref.first + entry.ref.count))
        return
    _, ended, going_on, marks = stored
    detached = set((Marks.read(marks or b"") or Marks()).detached)
    for segment in segments(ended or going_on or b""):
        yield from ((index, times) for index, times in segment.times() if index not in detached)


def _next_cursor(after: _Position | None, position: _Position, entry: _Entry, job: ListedJob) -> _Cursor:
    """The cursor of a page that begins with a job of an entry."""
    if entry.detached:
        # A detached job says nothing about the jobs that stayed in its chunk.
        return _Cursor(after, start=job.address.position)
    return _Cursor(after, entry.chunk_id, position[0], job.address.position)
