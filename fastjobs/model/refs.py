"""Parses and formats the names of stored things: refs, job ids, members of the sorted sets; all grammar is here.

    ref                 "<chunk id>"                       the only job of its chunk
                        "<chunk id>~<first>+<count>"       a span of a larger chunk
                        "<chunk id>~<index>"               a detached job
                            `first` and `index` have three digits, so that the refs of a chunk sort by index
    member of `ready`   "<sequence><ref>"                  the sequence has 13 hexadecimal digits
    member of `scheduled`   "<s or r><score>,<member of `ready`>"
    name in `leases`    "<session>:<fence>"                a lease; "<session>" alone lists a session's leases
    `finished_log`      "<jobs> <chunk id or ref>"

`scripts/lib/refs.lua`, `place.lua` and `history.lua` have the same grammar. The functions `parse_...` trust what the
scripts wrote, and are for workers and listings; the functions `read_...` return None for anything else, and are for
fsck.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from fastjobs.errors import JobNotFound
from fastjobs.model.names import NAME

#: Jobs in the largest chunk.
MAX_CHUNK_JOBS = 1000
#: The longest ref: a name of 128 characters and a span.
MAX_REF_BYTES = 128 + len("~000+1000")
#: Hexadecimal digits of a sequence: microseconds since 1970, which begin a member of `ready`.
SEQUENCE_DIGITS = 13
#: Stands behind all members of `ready` with its score.
BEHIND_ALL = "~"
#: How the ids of recurring jobs' runs begin; no job id that is chosen may.
RUN_PREFIX = "recur:"

# Patterns are compiled at their first use, by `re`: importing fastjobs does not need them.
_REF = rf"(?a){NAME}(?:~\d{{3}}(?:\+[1-9]\d{{0,3}})?)?"
_SEQUENCE = f"[0-9a-f]{{{SEQUENCE_DIGITS}}}"
_SCHEDULED = r"(?a)([sr])(-?\d{1,11}),"
_LOGGED = r"(?a)\d{1,4} \S+"


Kind = Literal["alone", "span", "detached"]


class Ref(NamedTuple):
    """A ref taken apart."""

    chunk_id: str
    first: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody calls
    kind: Kind

    @property
    def text(self) -> str:
        """The ref as it is stored."""
        if self.kind == "alone":
            return self.chunk_id
        if self.kind == "detached":
            return job_ref(self.chunk_id, self.first)
        return span_ref(self.chunk_id, self.first, self.count)

    @property
    def jobs(self) -> list[str]:
        """The refs that its jobs have once they are detached."""
        return [job_ref(self.chunk_id, index) for index in range(self.first, self.first + self.count)]

    def part(self, first: int, count: int) -> Ref:
        """Returns the ref of a part of these jobs."""
        return Ref(self.chunk_id, first, count, self.kind)


class Place(NamedTuple):
    """A place in line, as it is stored: minus the priority, and the sequence."""

    score: str
    sequence: str

    @property
    def at_ms(self) -> int:
        """When the job was enqueued, or is due."""
        return int(self.sequence, 16) // 1000


class Member(NamedTuple):
    """A ref in line, in the schedule or in a lease."""

    place: Place
    ref: Ref
    #: "s" (scheduled) or "r" (retrying) in the schedule, else "".
    kind: str = ""

    @property
    def ready(self) -> str:
        """The member of `ready`."""
        return self.place.sequence + self.ref.text

    @property
    def scheduled(self) -> str:
        """The member of `scheduled`."""
        return f"{self.kind}{self.place.score},{self.ready}"

    @property
    def leased(self) -> str:
        """The two words in a lease."""
        return f"{self.place.score} {self.ready}"


# Refs.


def job_ref(chunk_id: str, index: int) -> str:
    """Returns the ref of a job once it is detached; that of the only job of its chunk has an index as well."""
    return f"{chunk_id}~{index:03d}"


def span_ref(chunk_id: str, first: int, count: int) -> str:
    """Returns the ref of jobs side by side in a chunk of several."""
    return f"{chunk_id}~{first:03d}+{count}"


def is_detached(ref: str) -> bool:
    """Whether a ref names a detached job."""
    return "~" in ref and "+" not in ref


def detached_id(ref: str, record: bytes) -> str:
    """Returns the id of a detached job whose record cannot be read: its ref, or its chunk's id if it was alone there.

    Args:
        ref: its ref.
        record: what is stored of its record.
    """
    chunk_id, _, index = ref.partition("~")
    return ref if int(index) or f'"id":"{ref}"'.encode() in record else chunk_id


def split_ref(ref: str) -> tuple[str, int, int, Kind]:
    """Takes a ref apart as a worker does for each span: the values of a `Ref`, in a third of the time."""
    chunk_id, tilde, rest = ref.partition("~")
    if not tilde:
        return ref, 0, 1, "alone"
    first, plus, count = rest.partition("+")
    if plus:
        return chunk_id, int(first), int(count), "span"
    return chunk_id, int(first), 1, "detached"


def parse_ref(ref: str) -> Ref:
    """Takes a ref apart."""
    return Ref(*split_ref(ref))


def read_ref(text: str) -> Ref | None:
    """Takes a ref apart; None when it is not one, or is not written as the scripts write it."""
    ref = parse_ref(text) if re.fullmatch(_REF, text) else None
    return ref if ref and ref.text == text and ref.first + ref.count <= MAX_CHUNK_JOBS else None


# Members of sorted sets.


def format_sequence(at_us: int) -> str:
    """Returns the sequence of a job that was enqueued, or is due, at a time (microseconds since 1970)."""
    return f"{at_us:0{SEQUENCE_DIGITS}x}"


def split_member(member: bytes) -> tuple[int, str]:
    """Takes a member of `ready` apart as a worker does for each span: sequence (microseconds since 1970) and ref."""
    return int(member[:SEQUENCE_DIGITS], 16), member[SEQUENCE_DIGITS:].decode()


def parse_ready(member: str, score: str) -> Member:
    """Takes a member of `ready` apart."""
    return Member(Place(score, member[:SEQUENCE_DIGITS]), parse_ref(member[SEQUENCE_DIGITS:]))


def read_ready(member: str, score: str) -> Member | None:
    """Takes a member of `ready` apart; None when it is not one."""
    ref = read_ref(member[SEQUENCE_DIGITS:]) if re.match(_SEQUENCE, member) else None
    return Member(Place(score, member[:SEQUENCE_DIGITS]), ref) if ref else None


def parse_scheduled(member: str) -> Member:
    """Takes a member of `scheduled` apart."""
    head, _, ready = member.partition(",")
    return parse_ready(ready, head[1:])._replace(kind=head[0])


def read_scheduled(member: str) -> Member | None:
    """Takes a member of `scheduled` apart; None when it is not one."""
    match = re.match(_SCHEDULED, member)
    ready = read_ready(member[match.end() :], match[2]) if match else None
    return ready._replace(kind=match[1]) if match and ready else None


def logged_member(number: int, ref: str) -> str:
    """Returns the member of `finished_log` for a chunk of which so many jobs finished, or for one detached job."""
    return f"{number} {ref}"


def parse_logged(member: str) -> tuple[int, str]:
    """Takes a member of `finished_log` apart: number of jobs, and the chunk id or the ref of a detached job."""
    number, _, ref = member.partition(" ")
    return int(number), ref


def read_logged(member: str) -> tuple[int, Ref] | None:
    """Takes a member of `finished_log` apart; None when it is not one."""
    if not re.fullmatch(_LOGGED, member):
        return None
    number, text = parse_logged(member)
    ref = read_ref(text)
    return (number, ref) if ref and ref.kind != "span" else None


def parse_lease_name(name: str) -> tuple[str, str] | None:
    """Takes the name of a lease apart: session and fence; None for the entry that lists a session's leases."""
    session, colon, fence = name.rpartition(":")
    return (session, fence) if colon else None


# Ids of jobs, as callers know them.


def job_id(chunk_id: str, index: int, n: int) -> str:
    """Returns the id of the job at an index of a chunk of `n` jobs; with n = 0, of a detached job by its ref."""
    return chunk_id if n <= 1 else job_ref(chunk_id, index)


class JobAddress(NamedTuple):
    """Says which job is meant."""

    chunk_id: str
    #: Its place in the chunk.
    position: int
    #: It has to be the only one of its chunk.
    alone: bool

    @property
    def words(self) -> tuple[str, int, int]:
        """The arguments that name the job in a call of a script."""
        return self.chunk_id, self.position, int(self.alone)

    @property
    def ref(self) -> str:
        """Its ref once it is detached."""
        return job_ref(self.chunk_id, self.position)


def address(job_id: str) -> JobAddress:
    """Takes a job id apart.

    Raises:
        JobNotFound: no job can have this id.
    """
    ref = read_ref(job_id)
    if ref is None or ref.kind == "span":
        raise JobNotFound(job_id)
    return JobAddress(ref.chunk_id, ref.first, ref.kind == "alone")


def run_id(definition_id: str, occasion: int | str) -> str:
    """Returns the id of a run: of the one due at an instant (ms), or of one asked for, named by an id of its own."""
    return f"{RUN_PREFIX}{definition_id}:{occasion}"


def definition_of(job_id: str) -> str | None:
    """Returns the id of the recurring job that a job is a run of; None for other jobs."""
    if not job_id.startswith(RUN_PREFIX):
        return None
    return job_id[len(RUN_PREFIX) :].rpartition(":")[0] or None
