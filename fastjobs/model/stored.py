"""Parses and formats stored values: what stands before chunks and records, marks, leases, times of finished jobs.

    `chunks`      "<score> <sequence> <n>\\n<packed chunk>"
    `jobs`        "<status> <score> <sequence> <at ms> <operation> <type>\\n<record>"
    `marks`       "<done> <redeliveries> <finished> <keep ms> <detached>", and " <rounds> <postponed>" where spans are
    `leases`      of a lease "<score> <member of `ready`>" per ref; of a session "<request>:<fence>" and its fences
    `finished`    segments "<first>+<count> <head><times of each job>"
    `finishing`   "<chunk id>~<segment>"
    `recurring`   "<version> <revision> <status> <due ms> <last due ms> <last run> <overlap> <schedule>\\n<definition>"

What the fields mean is said in `scripts/lib/`. Lines and marks may have further words, of a newer release; they are
kept where a value is written again. As in `refs`, `parse...` trusts what the scripts wrote, and `read...`
returns None for anything else.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from fastjobs.model.numbers import LATEST_MS, LONGEST_RUN_S, parse_priority
from fastjobs.model.refs import MAX_CHUNK_JOBS, SEQUENCE_DIGITS, Member, Place, parse_ready, read_ready

#: The version of everything that a queue stores. Scripts refuse a queue whose `stats` name another one: raise it with
#: each change that an older release would read wrongly or destroy.
LAYOUT = 1
#: The header of a packed chunk, see core/chunk.pxi: magic, version, flags, checksum, jobs, time (low, high), size.
CHUNK_HEADER = struct.Struct("<2sBBIHHII")
CHUNK_MAGIC = b"FJ"
#: Bytes of a packed chunk before its content: two chunks of the same jobs differ only there (checksum and time).
CONTENT_OFFSET = 16

#: More redeliveries or rounds than this were not counted.
_MOST_RETURNS = 10**9

#: A segment's head: microseconds of the run's first start, and the size of the worker's name, which follows.
SEGMENT_HEAD = struct.Struct("<QB")
#: Of each job in a segment: seconds from the run's first start, and seconds it ran.
JOB_TIMES = struct.Struct("<ff")

# Patterns are compiled at their first use, by `re`: importing fastjobs does not need them.
_SEQUENCE = f"[0-9a-f]{{{SEQUENCE_DIGITS}}}".encode()
_CHUNK = rb"(-?\d{1,11}) (" + _SEQUENCE + rb") ([1-9]\d{0,3})(?: [!-~]+)*\n"
_RECORD = rb"[a-z]+ -?\d{1,11} [0-9a-f]{1,%d} \d{1,15} [!-~]+ [!-~]*(?: [!-~]+)*\n" % SEQUENCE_DIGITS
_RUN = rb"\d{1,3}(-\d{1,3})?"
_FURTHER_MARKS = rb" \d{1,9} (\d{1,15}(,\d{1,15})*|(?= ))( [!-~]+)*"
_MARKS = rb"(\d{1,9} ){3}\d{1,15} (-|%b(,%b)*)(%b)?" % (_RUN, _RUN, _FURTHER_MARKS)
_LEASED = rb"(-?\d{1,11}) (" + _SEQUENCE + rb"\S+)"
_HELD = rb"\d{1,18}:\d{1,18}( \d{1,18})*"
_SEGMENT = rb"(\d{1,3})\+([1-9]\d{0,3}) "
_DEFINITION = rb"\d{1,18} \d{1,18} (active|paused) \d{1,15} \d{1,18} \S+ \S+ [^\n]*\n"


# Chunks.


class ChunkHead(NamedTuple):
    """The head of a stored chunk, which stands before the packed chunk."""

    place: Place
    n: int
    #: The number of jobs in the header of the packed chunk; 0 when there is no such header.
    packed_n: int

    @staticmethod
    def read(stored: bytes) -> ChunkHead | None:
        """Reads what stands before a packed chunk, of which the header is enough; None when it is damaged."""
        match = re.match(_CHUNK, stored)
        if match is None or int(match[3]) > MAX_CHUNK_JOBS:
            return None
        place = Place(match[1].decode(), match[2].decode())
        return ChunkHead(place, int(match[3]), _packed_size(stored[match.end() :]))


def _packed_size(packed: bytes) -> int:
    if not packed.startswith(CHUNK_MAGIC) or len(packed) < CHUNK_HEADER.size:
        return 0
    return int(CHUNK_HEADER.unpack_from(packed)[4])


def chunk_value(place: Place, n: int, packed: bytes) -> bytes:
    """Returns what is stored of a chunk."""
    return f"{place.score} {place.sequence} {n}\n".encode() + packed


def split_chunk(stored: bytes) -> tuple[int, int, bytes]:
    """Takes what is stored of a chunk apart: priority, number of jobs, and the packed chunk.

    If the line before the packed chunk is damaged, the first two are 0.
    """
    line, _, packed = stored.partition(b"\n")
    try:
        score, _, number, *_ = line.split(b" ", 3)
        n = int(number)
    except ValueError:
        return 0, 0, packed
    return parse_priority(score), n if 0 < n <= MAX_CHUNK_JOBS else 0, packed


def packed_chunk(stored: bytes) -> bytes:
    """Returns the packed chunk in what is stored."""
    return stored.partition(b"\n")[2]


# Records of detached jobs.


class StoredRecord(NamedTuple):
    """The stored form of a detached job."""

    status: str
    place: Place
    #: When it is due, or ended.
    at_ms: int
    #: Id of the last operation; "-" = none so far.
    operation: str
    type: str
    #: The record; opaque to scripts.
    body: bytes
    #: Further words of the line.
    more: tuple[str, ...] = ()

    @staticmethod
    def parse(stored: bytes) -> StoredRecord:
        """Takes what is stored apart."""
        line, _, body = stored.partition(b"\n")
        status, score, sequence, at_ms, operation, type_name, *more = line.decode().split(" ")
        return StoredRecord(status, Place(score, sequence), int(at_ms), operation, type_name, body, tuple(more))

    @staticmethod
    def read(stored: bytes) -> StoredRecord | None:
        """Takes what is stored apart; None when the line before the record is damaged."""
        return StoredRecord.parse(stored) if re.match(_RECORD, stored) else None

    def pack(self) -> bytes:
        """Returns it as it is stored."""
        words = (self.status, *self.place, str(self.at_ms), self.operation, self.type, *self.more)
        return " ".join(words).encode() + b"\n" + self.body


def record_body(stored: bytes) -> bytes:
    """Returns the record in what is stored of a detached job."""
    return stored.partition(b"\n")[2]


# Marks.


class Marks(NamedTuple):
    """How far a chunk is; see scripts/lib/marks.lua."""

    done: int = 0
    redeliveries: int = 0
    finished: int = 0
    keep_ms: int = 0
    #: Indexes of the jobs that left the chunk, in order.
    detached: tuple[int, ...] = ()
    #: How many rounds of growing delays its postponed jobs have had.
    rounds: int = 0
    #: Times (ms) until which spans of the chunk are postponed, the last one given first.
    postponed: tuple[int, ...] = ()
    #: Further words.
    more: tuple[str, ...] = ()

    @staticmethod
    def parse(stored: bytes) -> Marks:
        """Takes marks apart."""
        done, redeliveries, finished, keep_ms, detached, *further = stored.split(b" ")
        rounds, postponed, *more = further or (b"0", b"")
        return Marks(
            *(int(done), int(redeliveries), int(finished), int(keep_ms)),
            () if detached == b"-" else tuple(_indexes(detached)),
            int(rounds),
            _numbers(postponed) if postponed else (),
            tuple(word.decode() for word in more),
        )

    @staticmethod
    def read(stored: bytes) -> Marks | None:
        """Takes marks apart; None when they are damaged."""
        return Marks.parse(stored) if re.fullmatch(_MARKS, stored) else None

    def pack(self) -> bytes:
        """Returns them as they are stored."""
        words = [*self[:4], ",".join(_runs(self.detached)) or "-"]
        if self.postponed or self.more:
            words += [self.rounds, ",".join(map(str, self.postponed)), *self.more]
        return " ".join(map(str, words)).encode()


def _indexes(text: bytes) -> Iterator[int]:
    for run in text.split(b","):
        first, _, last = run.partition(b"-")
        yield from range(int(first), int(last or first) + 1)


def _runs(indexes: Iterable[int]) -> Iterator[str]:
    for first, count in neighbours(sorted(set(indexes))):
        yield str(first) if count == 1 else f"{first}-{first + count - 1}"


def neighbours(indexes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yields (first, count) of each run of neighbours in sorted indexes."""
    if indexes and indexes[-1] - indexes[0] == len(indexes) - 1:
        yield indexes[0], len(indexes)
        return
    for _, group in groupby(enumerate(indexes), lambda pair: pair[1] - pair[0]):
        run = [index for _, index in group]
        yield run[0], len(run)


def _numbers(text: bytes) -> tuple[int, ...]:
    return tuple(map(int, text.split(b",")))


def parse_returns(marks: bytes) -> tuple[int, int]:
    """Returns redeliveries and rounds of a chunk, which are all that a worker needs of its marks; 0 if damaged."""
    try:
        words = marks.split(b" ")
        redeliveries, rounds = int(words[1]), int(words[5]) if len(words) > 5 else 0
    except (ValueError, IndexError):
        return 0, 0
    return (redeliveries, rounds) if 0 <= redeliveries < _MOST_RETURNS and 0 <= rounds < _MOST_RETURNS else (0, 0)


# Leases.


def parse_leased(stored: bytes) -> list[Member]:
    """Returns what a lease holds."""
    words = stored.decode().split(" ")
    return [parse_ready(member, score) for score, member in zip(words[::2], words[1::2], strict=True)]


def read_leased(stored: bytes) -> list[Member]:
    """Returns what can be read of a lease."""
    pairs = ((score.decode(), member.decode("utf-8", "replace")) for score, member in re.findall(_LEASED, stored))
    members = (read_ready(member, score) for score, member in pairs)
    return [member for member in members if member is not None]


def leased_value(members: Iterable[Member]) -> bytes:
    """Returns what is stored of a lease."""
    return " ".join(member.leased for member in members).encode()


class HeldFences(NamedTuple):
    """What a session holds."""

    #: "<request>:<fence>" of its last fetch.
    last: str = "0:0"
    fences: tuple[str, ...] = ()

    @staticmethod
    def parse(stored: bytes) -> HeldFences:
        """Takes what is stored of a session apart."""
        last, *fences = stored.decode().split(" ")
        return HeldFences(last, tuple(fences))

    @staticmethod
    def read(stored: bytes) -> HeldFences | None:
        """Takes what is stored of a session apart; None when it is damaged."""
        return HeldFences.parse(stored) if re.fullmatch(_HELD, stored) else None

    def pack(self) -> bytes:
        """Returns it as it is stored."""
        return " ".join((self.last, *self.fences)).encode()


# Finished jobs.


class Times(NamedTuple):
    """When and where a job ran that finished in its chunk."""

    started_at_ms: int
    run_s: float
    worker: str


class Segment(NamedTuple):
    """Jobs side by side in a chunk that finished in one run."""

    first: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody calls
    #: As `Board.finished_runs` packs it.
    head: bytes
    #: Eight bytes per job.
    columns: bytes

    @property
    def indexes(self) -> range:
        """The places of its jobs in the chunk."""
        return range(self.first, self.first + self.count)

    def pack(self) -> bytes:
        """Returns it as it is stored."""
        return b"%03d+%d " % (self.first, self.count) + self.head + self.columns

    def times(self) -> Iterator[tuple[int, Times]]:
        """Yields (index, times) of each of its jobs."""
        for index in self.indexes:
            at = JOB_TIMES.size * (index - self.first)
            yield index, times_of(self.head, self.columns[: JOB_TIMES.size], self.columns[at : at + JOB_TIMES.size])


def times_of(head: bytes, first_times: bytes, times: bytes) -> Times:
    """Reads the times of a job: the head of its segment, the times of the segment's first job, and its own."""
    base_s, _ = JOB_TIMES.unpack(first_times)
    start_s, run_s = JOB_TIMES.unpack(times)
    started_us, _ = SEGMENT_HEAD.unpack_from(head)
    started_ms = started_us / 1000 + (start_s - base_s) * 1000
    # Times that cannot be are shown as 0.
    started_at_ms = round(started_ms) if 0 <= started_ms <= LATEST_MS else 0
    run_s = run_s if 0 <= run_s <= LONGEST_RUN_S else 0.0
    return Times(started_at_ms, run_s, head[SEGMENT_HEAD.size :].decode("utf-8", "replace"))


def finishing_member(chunk_id: str, segment: Segment) -> bytes:
    """Returns the member of `finishing` that holds a segment of a chunk that goes on."""
    return f"{chunk_id}~".encode() + segment.pack()


def finishing_range(chunk_id: str) -> tuple[str, str]:
    """Returns the bounds of the members of `finishing` that a chunk has, as the server takes them."""
    return f"[{chunk_id}~", f"({chunk_id}~~"


def split_finishing(member: bytes) -> tuple[str, bytes]:
    """Takes a member of `finishing` apart: chunk id and segment."""
    chunk_id, _, segment = member.partition(b"~")
    return chunk_id.decode("utf-8", "replace"), segment


def segments(stored: bytes) -> Iterator[Segment]:
    """Yields the segments of a chunk's finished jobs, as far as they can be read."""
    at, pattern = 0, re.compile(_SEGMENT)
    while match := pattern.match(stored, at):
        first, count, head_at = int(match[1]), int(match[2]), match.end()
        if head_at + SEGMENT_HEAD.size > len(stored):
            return
        columns_at = head_at + SEGMENT_HEAD.size + stored[head_at + SEGMENT_HEAD.size - 1]
        at = columns_at + JOB_TIMES.size * count
        if at > len(stored):
            return
        yield Segment(first, count, stored[head_at:columns_at], stored[columns_at:at])


# Recurring jobs.


class DefinitionLine(NamedTuple):
    """The part of a recurring job that scripts read."""

    version: int
    revision: int
    #: "active" or "paused".
    status: str
    due_ms: int
    #: Due instant of its last run; 0 before the first.
    last_due_ms: int
    #: Job id of its last run; "-" before the first.
    last_run: str
    overlap: str
    schedule: str

    @staticmethod
    def parse(stored: bytes) -> DefinitionLine:
        """Takes the line before a definition apart.

        Raises:
            ValueError: it is damaged.
        """
        return _definition_line(stored.partition(b"\n")[0].decode())

    @staticmethod
    def read(stored: bytes) -> DefinitionLine | None:
        """Takes the line before a definition apart; None when it is damaged. Its schedule is not looked at."""
        match = re.match(_DEFINITION, stored)
        return _definition_line(match[0][:-1].decode("utf-8", "replace")) if match else None


def _definition_line(line: str) -> DefinitionLine:
    version, revision, status, due_ms, last_due_ms, last_run, overlap, schedule = line.split(" ", 7)
    return DefinitionLine(
        int(version), int(revision), status, int(due_ms), int(last_due_ms), last_run, overlap, schedule
    )


def definition_body(stored: bytes) -> bytes:
    """Returns the definition in what is stored of a recurring job."""
    return stored.partition(b"\n")[2]
