"""The replies of the scripts, as Python values."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

from fastjobs.model.numbers import parse_priority
from fastjobs.model.refs import is_detached, split_member
from fastjobs.model.stored import parse_returns, record_body, split_chunk
from fastjobs.store.keys import QUEUE_KEYS


class Stored(IntEnum):
    """The outcome of an enqueue call."""

    CREATED = 1
    EXISTING = 2
    CONFLICT = 3
    #: The job left its chunk: only its record shows whether it is the same.
    DETACHED = 4
    #: Created, and the first chunk in its partition: the partition may not be listed.
    FIRST = 5

    @property
    def is_new(self) -> bool:
        """Whether the call stored the chunk."""
        return self in (Stored.CREATED, Stored.FIRST)


class Defined(IntEnum):
    """The outcome of defining a recurring job."""

    REFUSED = 0
    CREATED = 1
    CHANGED = 2
    SAME = 3


class LeasedSpan(NamedTuple):
    """Jobs of one chunk, or one detached job, in a lease."""

    ref: str
    #: Its place in line: microseconds by the server's clock, when it was enqueued or became due.
    sequence: int
    priority: int
    #: How often jobs of the chunk came back from dead sessions.
    redeliveries: int
    #: How many rounds of growing delays jobs of the chunk have had.
    rounds: int
    #: Jobs in the whole chunk; 0 for a detached job, and where the payload does not say.
    n: int
    #: Packed chunk or stored record; b"" for a chunk the caller holds already; None when it is missing.
    payload: bytes | None


class Lease(NamedTuple):
    """What a fetch returned."""

    #: Names the lease together with the session; 0 = nothing to do, -1 = the session is fenced.
    fence: int
    #: The server's clock, in milliseconds since 1970.
    now_ms: int
    #: Milliseconds until the next scheduled job, or -1; only there when the lease is empty.
    next_due_ms: int
    spans: list[LeasedSpan]


class Answer(NamedTuple):
    """The outcome of an operation."""

    #: done | refused (its status does not allow it) | again (its record has changed meanwhile)
    what: str
    status: str


class Renewed(NamedTuple):
    """What a heartbeat found."""

    #: For each session whether it lives.
    alive: list[bool]
    #: Refs of executing jobs that are to be cancelled.
    cancelling: list[str]


class FoundJob(NamedTuple):
    """Everything that the server knows about one job."""

    status: str
    #: When it is due (ms since 1970) if it waits for its time, else 0.
    due_at_ms: int
    #: Its stored record or its stored chunk; b"" for the other.
    record: bytes
    chunk: bytes
    #: Of a job that finished in its chunk: see `Board.finished_runs`; else b"".
    head: bytes
    first_times: bytes
    times: bytes


class Reclaimed(NamedTuple):
    """The result of one step of reclaiming."""

    sessions: int
    jobs: int
    more: bool


class Survey(NamedTuple):
    """All keys of a partition at one instant."""

    #: Changes with everything that moves a job.
    stillness: bytes
    #: Key -> field or member -> value or score; None when there is too much for one step.
    contents: dict[str, dict[bytes, bytes]] | None


class SurveyPage(NamedTuple):
    """Some entries of one key of a partition."""

    #: Changes with everything that moves a job.
    stillness: bytes
    #: Of the next page; b"0" after the last one.
    cursor: bytes
    #: Field or member -> value or score.
    entries: dict[bytes, bytes]
    #: Bytes that were looked at.
    size: int


def parse_survey(reply: list[Any]) -> Survey:
    """Reads the reply of `survey` for all keys."""
    stillness, large, *keys = reply
    if large:
        return Survey(stillness, None)
    return Survey(stillness, {name: pairs(entries) for name, entries in zip(QUEUE_KEYS, keys, strict=True)})


def parse_survey_page(reply: list[Any]) -> SurveyPage:
    """Reads the reply of `survey` for one key."""
    stillness, cursor, entries, size = reply
    return SurveyPage(stillness, cursor, pairs(entries), size)


def pairs(flat: list[bytes]) -> dict[bytes, bytes]:
    """Returns a hash, or members with their scores, as the server lists them one after the other."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


class SetPage(NamedTuple):
    """A page of a sorted set."""

    #: (member, score) of each entry.
    entries: list[tuple[str, str]]
    #: (score, member) behind which the next page begins; None after the last.
    after: tuple[str, str] | None


class Cleared(NamedTuple):
    """The result of one step of clearing a queue."""

    #: Jobs dropped.
    jobs: int
    #: Whether there is more to drop.
    more: bool


class Closed(NamedTuple):
    """The result of one step of closing a session."""

    #: Jobs given back.
    jobs: int
    #: Whether nothing is left to give back.
    closed: bool


def parse_closed(reply: list[int]) -> Closed:
    """Reads the reply of `close`."""
    return Closed(reply[0], bool(reply[1]))


def parse_lease(reply: list[Any]) -> Lease:
    """What a fetch replied."""
    fence, now_ms, next_due_ms, *spans = reply
    return Lease(fence, now_ms, next_due_ms, [_parse_span(*span) for span in spans])


def _parse_span(member: bytes, score: bytes, marks: bytes | None, payload: bytes | None) -> LeasedSpan:
    sequence, ref = split_member(member)
    redeliveries, rounds = parse_returns(marks) if marks else (0, 0)
    n = 0
    if payload and is_detached(ref):
        payload = record_body(payload)
    elif payload:
        _, n, payload = split_chunk(payload)
    return LeasedSpan(ref, sequence, parse_priority(score), redeliveries, rounds, n, payload)


def parse_found(reply: list[bytes] | None) -> FoundJob | None:
    """Reads the reply of `find`; None when there is no such job."""
    if reply is None:
        return None
    return FoundJob(reply[0].decode(), int(reply[1]), *reply[2:])


def parse_defined(reply: list[Any]) -> tuple[Defined, bytes]:
    """Reads the outcome of a definition, and its stored form."""
    return Defined(reply[0]), reply[1]


def parse_run(reply: list[Any]) -> tuple[int, str]:
    """Reads the reply of `run_recurring` and an id; see `ScriptCalls.run_recurring`."""
    return reply[0], reply[1].decode()


def parse_reclaimed(reply: list[int]) -> Reclaimed:
    """Reads the reply of `reclaim`."""
    return Reclaimed(reply[0], reply[1], bool(reply[2]))


def parse_renewed(reply: list[Any]) -> Renewed:
    """Reads the reply of `renew`."""
    return Renewed([bool(alive) for alive in reply[0]], [ref.decode("utf-8", "replace") for ref in reply[1]])


def parse_status(reply: bytes | None) -> str | None:
    """A status; None when there is no such job."""
    return None if reply is None else reply.decode()


def parse_answer(reply: list[bytes] | None) -> Answer | None:
    """Reads the outcome of an operation; None when there is no such job."""
    return None if reply is None else Answer(reply[0].decode(), reply[1].decode())


def parse_cleared(reply: list[int]) -> Cleared:
    """Reads the reply to `clear`."""
    jobs, more = reply
    return Cleared(jobs, bool(more))


def parse_page(reply: list[bytes]) -> SetPage:
    """Reads a page of a sorted set; members are ASCII, and anything else has a character per byte."""
    pairs = [(reply[at].decode("latin-1"), reply[at + 1].decode()) for at in range(0, len(reply), 2)]
    (member, score), *entries = pairs
    return SetPage(entries, (score, member) if score else None)
