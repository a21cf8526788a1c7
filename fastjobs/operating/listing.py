"""Pages through the jobs of one queue and status, in the order they run or ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

import orjson

from fastjobs.errors import ConfigError
from fastjobs.model.record import JobRecord
from fastjobs.model.refs import (
    JobAddress,
    Ref,
    logged_member,
    parse_lease_name,
    parse_logged,
    parse_ready,
    parse_ref,
    parse_scheduled,
)
from fastjobs.model.status import Status
from fastjobs.model.stored import Marks, Times, parse_leased, segments
from fastjobs.operating.stored_jobs import StoredChunk, decode_record
from fastjobs.store.batch import Reply
from fastjobs.store.store import Batch, Store

#: Sorted set that lists the jobs of a status.
_SETS = {
    Status.QUEUED: "ready",
    Status.SCHEDULED: "scheduled",
    Status.RETRYING: "scheduled",
    Status.FAILED: "failed",
    Status.CANCELLED: "cancelled",
    Status.FINISHED: "finished_log",
}
#: In place of a score: the position counts chunks that are not in the log yet.
_UNLOGGED = "unlogged"
#: Marks looked at in one step.
_SCAN_STEP = 500


@dataclass(slots=True)
class ListedJob:
    """A job as a listing found it."""

    address: JobAddress
    status: Status
    #: When it is due (ms since 1970) if it waits for its time, else 0.
    due_at_ms: int
    record: JobRecord
    #: What is stored of a detached job; b"" for one in its chunk.
    stored: bytes = b""


class _Entry(NamedTuple):
    """What a sorted set or a lease names: jobs side by side, one detached job, or what finished of a chunk."""

    ref: Ref
    due_at_ms: int = 0
    #: Of an entry for what finished of a chunk: how many jobs did.
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


#: An entry, the (score, member) to go on behind it, and whether more may follow.
_Found = tuple[tuple[str, str], _Entry, bool]


class Page(NamedTuple):
    """Some jobs, and where to go on."""

    jobs: list[ListedJob]
    #: None after the last page.
    cursor: str | None


class Listing:
    """Lists jobs of a queue.

    Args:
        store: of the calling thread.
        queue: which queue.
        status: which jobs.
        reverse: from the end of the line, or the latest first.
    """

    def __init__(self, store: Store, queue: str, status: Status, *, reverse: bool = False) -> None:
        self._store = store
        self._queue = queue
        self._status = status
        self._reverse = reverse

    def page(self, cursor: str | None, limit: int) -> Page:
        """Reads a page.

        Args:
            cursor: as the page before said; None = from the beginning.
            limit: most jobs on it.

        Raises:
            ConfigError: the cursor is none.
        """
        after, begun, start = _parse_cursor(cursor)
        source = self._executing if self._status is Status.EXECUTING else self._listed
        entries: list[tuple[tuple[str, str], _Entry]] = []
        number, more = 0, False
        for position, entry, more in source(after, limit):  # noqa: B007 - the last one's is used below
            entries.append((position, entry))
            number += 0 if self._is_begun(position, entry, begun) else entry.number
            if number >= limit:
                break
        jobs: list[ListedJob] = []
        for (position, entry), stored in zip(entries, self._load([entry for _, entry in entries]), strict=True):
            for job in self._jobs(entry, stored):
                # Jobs before the place where the last page ended were on it, whatever has become of their span.
                place = job.address.position
                if self._is_begun(position, entry, begun) and (place > start if self._reverse else place < start):
                    continue
                if len(jobs) == limit:
                    # A detached job says nothing about those that stayed in its chunk.
                    part = ("", "") if entry.detached else (entry.chunk_id, position[0])
                    return Page(jobs, _cursor(after, part, place))
                jobs.append(job)
            after = position
        return Page(jobs, _cursor(after, ("", ""), 0) if more else None)

    @staticmethod
    def _is_begun(position: tuple[str, str], entry: _Entry, begun: tuple[str, str]) -> bool:
        """Whether some of the jobs of an entry may have been on the last page.

        Other jobs of the same chunk may come later, with another score: when they were postponed. What finished of a
        chunk is one entry, whose score may have changed.
        """
        chunk_id, score = begun
        same_score = position[0] == score and not entry.detached
        return entry.chunk_id == chunk_id and (entry.finished is not None or same_score)

    def _listed(self, after: tuple[str, str] | None, limit: int) -> Iterator[_Found]:
        """Entries of the status's sorted set, behind a (score, member)."""
        if after is not None and after[0] == _UNLOGGED:
            yield from self._unlogged(int(after[1]))
            return
        key = _SETS[self._status]
        last = False
        while not last:
            page = self._store.batch().page(self._queue, key, after, limit + 1, reverse=self._reverse).run()
            last = len(page) <= limit
            for place, (member, score) in enumerate(page, 1):
                after = (score, member)
                entry = self._parse(member, score)
                if entry is not None:
                    yield after, entry, place < len(page) or not last or self._status is Status.FINISHED
        if self._status is Status.FINISHED:
            yield from self._unlogged(0)

    def _unlogged(self, start: int) -> Iterator[_Found]:
        """Chunks that go on: some of their jobs have finished, but they are not in the log yet."""
        unlogged: list[_Entry] = []
        scan = b"0"
        while True:
            scan, found = self._store.batch().scan_marks(self._queue, scan, _SCAN_STEP).run()
            live = list(_with_finished_jobs(found))
            batch = self._store.batch()
            logged = [batch.forgotten_at(self._queue, logged_member(entry.number, entry.chunk_id)) for entry in live]
            batch.run()
            unlogged += [entry for entry, reply in zip(live, logged, strict=True) if reply.value is None]
            if scan == b"0":
                break
        unlogged.sort()
        for place, entry in enumerate(unlogged[start:], start + 1):
            yield (_UNLOGGED, str(place)), entry, place < len(unlogged)

    def _executing(self, after: tuple[str, str] | None, limit: int) -> Iterator[_Found]:
        """Jobs of the leases one by one, in the order of their ids; after is the (chunk id, index) of the last one."""
        found = self._store.batch().leases(self._queue).run()
        leases = [lease for name, lease in found.items() if parse_lease_name(name.decode()) is not None]
        refs = [member.ref for lease in leases for member in parse_leased(lease)]
        last = ("", -1) if after is None else (after[0], int(after[1]))
        jobs = sorted(
            ref.part(index, 1)
            for ref in refs
            for index in range(ref.first, ref.first + ref.count)
            if (ref.chunk_id, index) > last
        )
        for place, ref in enumerate(jobs[:limit], 1):
            yield (ref.chunk_id, str(ref.first)), _Entry(ref), place < len(jobs)

    def _parse(self, member: str, score: str) -> _Entry | None:
        """Reads a member of the status's set; None when it is of another status."""
        if self._status is Status.QUEUED:
            return _Entry(parse_ready(member, score).ref)
        if self._status in (Status.SCHEDULED, Status.RETRYING):
            met = parse_scheduled(member)
            return _Entry(met.ref, int(float(score))) if met.kind == self._status[0] else None
        if self._status is Status.FINISHED:
            number, text = parse_logged(member)
            ref = parse_ref(text)
            return _Entry(ref, finished=None if ref.kind == "detached" else number)
        return _Entry(parse_ref(member))

    def _load(self, entries: list[_Entry]) -> list[list[bytes | None]]:
        """What is stored of each entry: a record, or a chunk with its finished segments and marks."""
        batch = self._store.batch()
        replies = [self._add_look(batch, entry) for entry in entries]
        batch.run()
        return [[reply.value for reply in of_entry] for of_entry in replies]

    def _add_look(self, batch: Batch, entry: _Entry) -> list[Reply[bytes | None]]:
        if entry.detached:
            return [batch.stored_record(self._queue, entry.ref.text)]
        chunk = batch.stored_chunk(self._queue, entry.chunk_id)
        if entry.finished is None:
            return [chunk]
        segments = batch.stored_segments(self._queue, entry.chunk_id)
        return [chunk, segments, batch.stored_marks(self._queue, entry.chunk_id)]

    def _jobs(self, entry: _Entry, stored: list[bytes | None]) -> Iterator[ListedJob]:
        """The jobs of an entry; none for what has gone meanwhile."""
        if stored[0] is None:
            return
        if entry.detached:
            ref = entry.ref.text
            record = decode_record(self._store, self._queue, ref, ref, stored[0])
            address = JobAddress(entry.chunk_id, entry.ref.first, record.id == entry.chunk_id)
            yield ListedJob(address, self._status, entry.due_at_ms, record, stored[0])
            return
        chunk = StoredChunk(self._store, self._queue, entry.chunk_id, stored[0])
        # By place, not as they finished: the next page goes on behind the place where this one ends.
        for index, times in sorted(_positions(entry, stored), key=itemgetter(0), reverse=self._reverse):
            address = JobAddress(entry.chunk_id, index, chunk.n == 1)
            yield ListedJob(address, self._status, entry.due_at_ms, chunk.record(index, times))


def _positions(entry: _Entry, stored: list[bytes | None]) -> Iterator[tuple[int, Times | None]]:
    """The places in its chunk that an entry means."""
    if entry.finished is None:
        yield from ((index, None) for index in range(entry.ref.first, entry.ref.first + entry.ref.count))
        return
    _, finished, marks = stored
    detached = set(Marks.parse(marks).detached) if marks else set()
    for segment in segments(finished or b""):
        yield from ((index, times) for index, times in segment.times() if index not in detached)


def _with_finished_jobs(found: Mapping[bytes, bytes]) -> Iterator[_Entry]:
    """Chunks some of whose jobs finished and are kept; of the marks found."""
    for name, value in found.items():
        marks, ref = Marks.parse(value), parse_ref(name.decode())
        if ref.kind == "alone" and marks.finished and marks.keep_ms:
            yield _Entry(ref, finished=marks.finished)


def _cursor(after: tuple[str, str] | None, part: tuple[str, str], start: int) -> str:
    """Behind which (score, member) to go on, and, in the (chunk, score) that comes next, from which job."""
    return orjson.dumps([after, *part, start]).decode()


def _parse_cursor(cursor: str | None) -> tuple[tuple[str, str] | None, tuple[str, str], int]:
    if cursor is None:
        return None, ("", ""), 0
    try:
        after, chunk_id, score, start = orjson.loads(cursor)
        part = (str(chunk_id), str(score))
        return (None if after is None else (str(after[0]), str(after[1]))), part, int(start)
    except (ValueError, TypeError, IndexError) as error:
        raise ConfigError(f"cursor {cursor!r} is none that a page gave") from error
