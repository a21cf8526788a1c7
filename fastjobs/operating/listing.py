"""Pages through the jobs of one queue and status, in the order they run or ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

import orjson

from fastjobs.errors import ConfigError
from fastjobs.model.record import JobRecord
from fastjobs.model.refs import JobAddress, is_detached
from fastjobs.model.status import Status
from fastjobs.operating.stored_jobs import StoredChunk, Times, decode_record, read_segments
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
#: Hexadecimal digits of a sequence.
_SEQUENCE_DIGITS = 13
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

    chunk_id: str
    first: int
    number: int
    kind: str = "span"
    due_at_ms: int = 0

    @property
    def ref(self) -> str:
        return f"{self.chunk_id}~{self.first}"


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
                    part = ("", "") if entry.kind == "detached" else (entry.chunk_id, position[0])
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
        return entry.chunk_id == chunk_id and (
            entry.kind == "finished" or (entry.kind == "span" and position[0] == score)
        )

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
            marks = [(name, mark.split()) for name, mark in found.items()]
            live = [(name, mark[2]) for name, mark in marks if b"~" not in name and mark[2] != b"0" and mark[3] != b"0"]
            batch = self._store.batch()
            logged = [batch.forgotten_at(self._queue, number + b" " + name) for name, number in live]
            batch.run()
            for (name, number), reply in zip(live, logged, strict=True):
                if reply.value is None:
                    unlogged.append(_Entry(name.decode(), 0, int(number), "finished"))
            if scan == b"0":
                break
        unlogged.sort()
        for place, entry in enumerate(unlogged[start:], start + 1):
            yield (_UNLOGGED, str(place)), entry, place < len(unlogged)

    def _executing(self, after: tuple[str, str] | None, limit: int) -> Iterator[_Found]:
        """Jobs of the leases one by one, in the order of their ids; after is the (chunk id, index) of the last one."""
        found = self._store.batch().leases(self._queue).run()
        leases = [lease for name, lease in found.items() if b":" in name]
        spans = [_parse_ref(word.decode()[_SEQUENCE_DIGITS:]) for lease in leases for word in lease.split()[1::2]]
        last = ("", -1) if after is None else (after[0], int(after[1]))
        jobs = sorted(
            (span.chunk_id, index, span.kind)
            for span in spans
            for index in range(span.first, span.first + span.number)
            if (span.chunk_id, index) > last
        )
        for place, (chunk_id, index, kind) in enumerate(jobs[:limit], 1):
            yield (chunk_id, str(index)), _Entry(chunk_id, index, 1, kind), place < len(jobs)

    def _parse(self, member: str, score: str) -> _Entry | None:
        """Reads a member of the status's set; None when it is of another status."""
        if self._status is Status.QUEUED:
            return _parse_ref(member[_SEQUENCE_DIGITS:])
        if self._status in (Status.SCHEDULED, Status.RETRYING):
            if member[0] != self._status[0]:
                return None
            return _parse_ref(member.partition(",")[2][_SEQUENCE_DIGITS:], int(float(score)))
        if self._status is Status.FINISHED:
            number, _, ref = member.partition(" ")
            return _parse_ref(ref) if is_detached(ref) else _Entry(ref, 0, int(number), "finished")
        return _parse_ref(member)

    def _load(self, entries: list[_Entry]) -> list[list[bytes | None]]:
        """What is stored of each entry: a record, or a chunk with its finished segments and marks."""
        batch = self._store.batch()
        replies = [self._add_look(batch, entry) for entry in entries]
        batch.run()
        return [[reply.value for reply in of_entry] for of_entry in replies]

    def _add_look(self, batch: Batch, entry: _Entry) -> list[Reply[bytes | None]]:
        if entry.kind == "detached":
            return [batch.stored_record(self._queue, entry.ref)]
        chunk = batch.stored_chunk(self._queue, entry.chunk_id)
        if entry.kind != "finished":
            return [chunk]
        segments = batch.stored_segments(self._queue, entry.chunk_id)
        return [chunk, segments, batch.stored_marks(self._queue, entry.chunk_id)]

    def _jobs(self, entry: _Entry, stored: list[bytes | None]) -> Iterator[ListedJob]:
        """The jobs of an entry; none for what has gone meanwhile."""
        if stored[0] is None:
            return
        if entry.kind == "detached":
            record = decode_record(self._store, self._queue, entry.ref, entry.ref, stored[0])
            address = JobAddress(entry.chunk_id, entry.first, "~" not in record.id)
            yield ListedJob(address, self._status, entry.due_at_ms, record, stored[0])
            return
        chunk = StoredChunk(self._store, self._queue, entry.chunk_id, stored[0])
        # By place, not as they finished: the next page goes on behind the place where this one ends.
        for index, times in sorted(_positions(entry, stored), key=itemgetter(0), reverse=self._reverse):
            address = JobAddress(entry.chunk_id, index, chunk.n == 1)
            yield ListedJob(address, self._status, entry.due_at_ms, chunk.record(index, times))


def _positions(entry: _Entry, stored: list[bytes | None]) -> Iterator[tuple[int, Times | None]]:
    """The places in its chunk that an entry means."""
    if entry.kind == "span":
        yield from ((index, None) for index in range(entry.first, entry.first + entry.number))
        return
    _, segments, marks = stored
    detached = set(marks.split()[4].split(b",")) if marks else set()
    for index, times in read_segments(segments or b""):
        if b"%d" % index not in detached:
            yield index, times


def _parse_ref(ref: str, due_at_ms: int = 0) -> _Entry:
    chunk_id, tilde, rest = ref.partition("~")
    if not tilde:
        return _Entry(ref, 0, 1, "span", due_at_ms)
    first, plus, count = rest.partition("+")
    if plus:
        return _Entry(chunk_id, int(first), int(count), "span", due_at_ms)
    return _Entry(chunk_id, int(first), 1, "detached", due_at_ms)


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
