"""What is stored of one queue, in the terms of scripts/lib: taken apart, and put together the same way."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from fastjobs.errors import ChunkError
from fastjobs.model.record import JobRecord
from fastjobs.store.keys import compared_keys
from fastjobs.store.sealing import is_sealed

#: The keys that are compared.
HASHES = compared_keys("hash")
ZSETS = compared_keys("zset")

_CHUNK = re.compile(rb"(-?\d{1,11}) ([0-9a-f]{13}) ([1-9]\d{0,3}) ")
#: Of a packed chunk: magic, and at offset 8 its number of jobs.
_MAGIC = b"FJ"
_N_OFFSET = 8
_LINE = re.compile(rb"([a-z]+) (-?\d{1,11}) ([0-9a-f]{1,13}) (\d{1,15}) ([!-~]+) ([!-~]*)\n")
_MARKS = re.compile(rb"(\d{1,9}) (\d{1,9}) (\d{1,9}) (\d{1,15}) (-|\d{1,3}(?:,\d{1,3})*)(?: (\d{1,15}(?:,\d{1,15})*))?")
_LEASED = re.compile(rb"(-?\d{1,11}) ([0-9a-f]{13})(\S+)")
_HELD = re.compile(rb"(\d{1,18}:\d{1,18})((?: \d{1,18})*)")
_READY = re.compile(rb"([0-9a-f]{13})(\S+)")
_SCHEDULED = re.compile(rb"([sr])(-?\d{1,11}),([0-9a-f]{13})(\S+)")
_ID = re.compile(rb"[A-Za-z0-9_.:-]{1,128}")
_REF = re.compile(rb"([A-Za-z0-9_.:-]{1,128})(?:~(\d{1,3})(?:\+([1-9]\d{0,3}))?)?")
_LOGGED = re.compile(rb"(\d{1,4}) (\S+)")
_SEGMENT = re.compile(rb"(\d{1,3})\+([1-9]\d{0,3}) ")
_DEFINITION = re.compile(rb"\d+ (\d+) (active|paused) (\d{1,15}) \d+ \S+ \S+ [^\n]*\n")

#: Hexadecimal digits of a sequence.
SEQUENCE_DIGITS = 13
#: Bytes of a segment's head before the worker's name, and of the times of one job.
_HEAD_BYTES = 9
_TIMES_BYTES = 8


@dataclass(slots=True)
class Contents:
    """The keys of a queue at one instant: field -> value, or member -> score.

    Of chunks only the first bytes are kept, their place in line and their header.
    """

    keys: dict[str, dict[bytes, bytes]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> dict[bytes, bytes]:
        return self.keys.setdefault(name, {})


class Ref(NamedTuple):
    """A ref taken apart: a chunk of one, a span, or a detached job."""

    id: bytes
    first: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody calls
    kind: str

    @staticmethod
    def parse(ref: bytes) -> Ref | None:
        """Reads a ref; None when it is none."""
        match = _REF.fullmatch(ref)
        if match is None:
            return None
        if match[2] is None:
            return Ref(match[1], 0, 1, "alone")
        if match[3] is None:
            return Ref(match[1], int(match[2]), 1, "detached") if match[2] == b"%d" % int(match[2]) else None
        return Ref(match[1], int(match[2]), int(match[3]), "span") if len(match[2]) == 3 else None

    @property
    def job(self) -> bytes:
        """The ref of its first job once that is detached."""
        return b"%s~%d" % (self.id, self.first)

    def part(self, first: int, count: int) -> Ref:
        """Returns a part of it."""
        return Ref(self.id, first, count, self.kind)

    def pack(self) -> bytes:
        """Returns it as it is stored."""
        if self.kind == "alone":
            return self.id
        if self.kind == "detached":
            return self.job
        return b"%s~%03d+%d" % (self.id, self.first, self.count)


class Place(NamedTuple):
    """A place in line."""

    score: bytes
    sequence: bytes


class ChunkHead(NamedTuple):
    """What stands before a packed chunk; `packed_n` is what its own header says, 0 when that is none."""

    place: Place
    n: int
    packed_n: int

    @staticmethod
    def parse(stored: bytes) -> ChunkHead | None:
        """Reads it; None when it cannot be read."""
        match = _CHUNK.match(stored)
        if match is None or not 1 <= int(match[3]) <= 1000:
            return None
        packed = stored[match.end() :]
        packed_n = 0
        if packed.startswith(_MAGIC) and len(packed) >= _N_OFFSET + 2:
            (packed_n,) = struct.unpack_from("<H", packed, _N_OFFSET)
        return ChunkHead(Place(match[1], match[2]), int(match[3]), packed_n)


@dataclass(slots=True)
class Record:
    """A record of a detached job: its line for scripts, and its body."""

    state: str
    place: Place
    at_ms: int
    operation: bytes
    type: bytes
    body: bytes

    @staticmethod
    def parse(stored: bytes) -> Record | None:
        """Reads it; one whose line alone is damaged has the state "". None when its body cannot be read.

        What is sealed is taken as it is: it need not be read to tell where it belongs.
        """
        match = _LINE.match(stored)
        body = stored.partition(b"\n")[2] if match is None else stored[match.end() :]
        try:
            job = JobRecord(id="", type="", payload=None) if is_sealed(body) else JobRecord.decode(body)
        except ChunkError:
            return None
        if match is None:
            return Record("", Place(b"%d" % -job.priority, b"0"), 0, b"-", job.type.encode(), body)
        state = match[1].decode()
        known = state in ("queued", "scheduled", "retrying", "executing", "finished", "failed", "cancelled")
        return Record(state if known else "", Place(match[2], match[3]), int(match[4]), match[5], match[6], body)

    def pack(self) -> bytes:
        """Returns it as it is stored."""
        line = b"%s %s %s %d %s %s\n" % (
            *(self.state.encode(), self.place.score, self.place.sequence),
            *(self.at_ms, self.operation, self.type),
        )
        return line + self.body


@dataclass(slots=True)
class Marks:
    """How far a chunk is; see scripts/lib/marks.lua."""

    done: int
    redeliveries: int
    finished: int
    keep_ms: int
    detached: list[int]
    #: Times (ms) until which spans of the chunk are postponed.
    postponed: list[int] = field(default_factory=list)

    @staticmethod
    def parse(stored: bytes) -> Marks | None:
        """Reads them; None when they cannot be read."""
        match = _MARKS.fullmatch(stored)
        if match is None:
            return None
        detached = [] if match[5] == b"-" else list(map(int, match[5].split(b",")))
        postponed = list(map(int, match[6].split(b","))) if match[6] else []
        return Marks(int(match[1]), int(match[2]), int(match[3]), int(match[4]), detached, postponed)

    def pack(self) -> bytes:
        """Returns them as they are stored."""
        detached = ",".join(map(str, self.detached)) or "-"
        packed = f"{self.done} {self.redeliveries} {self.finished} {self.keep_ms} {detached}"
        return f"{packed} {','.join(map(str, self.postponed))}".rstrip().encode()


class Member(NamedTuple):
    """A ref in line, in the schedule or in a lease."""

    place: Place
    ref: Ref
    #: "s" or "r" in the schedule, else "".
    kind: bytes = b""

    def pack_ready(self) -> bytes:
        """Returns it as a member of `ready`."""
        return self.place.sequence + self.ref.pack()

    def pack_scheduled(self) -> bytes:
        """Returns it as a member of `scheduled`."""
        return self.kind + self.place.score + b"," + self.pack_ready()

    def pack_leased(self) -> bytes:
        """Returns it as it stands in a lease."""
        return self.place.score + b" " + self.pack_ready()


def read_ready(member: bytes, score: bytes) -> Member | None:
    """Reads a member of `ready`; None when it cannot be read."""
    match = _READY.fullmatch(member)
    ref = match and Ref.parse(match[2])
    if not match or not ref:
        return None
    return Member(Place(score, match[1]), ref)


def read_scheduled(member: bytes) -> Member | None:
    """Reads a member of `scheduled`; None when it cannot be read."""
    match = _SCHEDULED.fullmatch(member)
    ref = match and Ref.parse(match[4])
    if not match or not ref:
        return None
    return Member(Place(match[2], match[3]), ref, match[1])


def read_lease(stored: bytes) -> list[Member]:
    """Reads what can be read of a lease."""
    members = []
    for match in _LEASED.finditer(stored):
        ref = Ref.parse(match[3])
        if ref:
            members.append(Member(Place(match[1], match[2]), ref))
    return members


def read_held(stored: bytes) -> tuple[bytes, list[bytes]] | None:
    """Reads what a session says it holds: "<request>:<fence>" and its fences; None when it cannot be read."""
    match = _HELD.fullmatch(stored)
    return (match[1], match[2].split()) if match else None


def read_logged(member: bytes) -> tuple[int, Ref] | None:
    """Reads an entry of the finished log: number of jobs and what they were; None when it cannot be read."""
    match = _LOGGED.fullmatch(member)
    ref = match and Ref.parse(match[2])
    if not match or not ref or ref.kind == "span":
        return None
    return int(match[1]), ref


def read_segments(stored: bytes, n: int) -> Iterator[tuple[int, int, bytes]]:
    """Yields (first, count, segment) of the times of a chunk's finished jobs, as far as they can be read."""
    at = 0
    while at < len(stored):
        match = _SEGMENT.match(stored, at)
        if match is None or match.end() + _HEAD_BYTES > len(stored):
            return
        first, count = int(match[1]), int(match[2])
        end = match.end() + _HEAD_BYTES + stored[match.end() + _HEAD_BYTES - 1] + _TIMES_BYTES * count
        if end > len(stored) or first + count > n:
            return
        yield first, count, stored[at:end]
        at = end


def read_definition(stored: bytes) -> tuple[int, bool, int] | None:
    """Reads the line of a recurring job: revision, whether it is active, due time (ms); None when it cannot."""
    match = _DEFINITION.match(stored)
    return (int(match[1]), match[2] == b"active", int(match[3])) if match else None


def is_id(name: bytes) -> bool:
    """Whether a chunk, or a session, can have this id."""
    return _ID.fullmatch(name) is not None


def same_score(one: bytes, other: bytes) -> bool:
    """Whether two scores are the same number: servers write large ones in several ways."""
    try:
        return one == other or float(one) == float(other)
    except ValueError:
        return False
