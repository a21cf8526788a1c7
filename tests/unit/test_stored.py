"""Stored values: what is formatted is parsed back, and damaged values are not read."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastjobs.model.refs import Member, Place
from fastjobs.model.stored import (
    ChunkHead,
    DefinitionLine,
    HeldFences,
    Marks,
    Segment,
    StoredRecord,
    Times,
    chunk_value,
    definition_body,
    leased_value,
    packed_chunk,
    parse_leased,
    parse_returns,
    read_leased,
    record_body,
    segments,
    split_chunk,
)
from tests.harness.queue import pack
from tests.unit.test_refs import PLACES, REFS

NUMBERS = st.integers(0, 10**8)
INDEXES = st.lists(st.integers(0, 999), unique=True).map(sorted).map(tuple)
WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)
#: Words of a newer release.
MORE = st.just(()) | st.lists(WORDS, max_size=2).map(tuple)
PLAIN_MARKS = st.builds(Marks, NUMBERS, NUMBERS, NUMBERS, NUMBERS, INDEXES, st.just(0), st.just(()), st.just(()))
POSTPONED = st.lists(NUMBERS, min_size=1).map(tuple)
MARKS = PLAIN_MARKS | st.builds(Marks, NUMBERS, NUMBERS, NUMBERS, NUMBERS, INDEXES, NUMBERS, POSTPONED, MORE)
RECORDS = st.builds(
    StoredRecord, st.sampled_from(("queued", "failed")), PLACES, NUMBERS, WORDS, WORDS | st.just(""), st.binary(), MORE
)
HEADS = st.binary(max_size=20).map(lambda worker: struct.pack("<QB", 1_700_000_000_000_000, len(worker)) + worker)


@st.composite
def finished(draw: st.DrawFn) -> Segment:
    first, count = draw(st.integers(0, 999)), draw(st.integers(1, 1000))
    return Segment(first, count, draw(HEADS), bytes(8 * count))


@given(PLACES, st.integers(1, 1000), st.binary(max_size=50))
def test_chunks_are_parsed_as_they_were_formatted(place: Place, n: int, packed: bytes) -> None:
    stored = chunk_value(place, n, packed)
    assert split_chunk(stored) == (-int(place.score), n, packed)
    assert packed_chunk(stored) == packed
    head = ChunkHead.read(stored)
    assert head is not None
    assert head[:2] == (place, n)
    of_newer_release = stored.replace(b"\n", b" more words\n", 1)
    assert split_chunk(of_newer_release) == split_chunk(stored)
    assert ChunkHead.read(of_newer_release) == head


def test_the_head_of_a_chunk_says_what_the_packed_chunk_says() -> None:
    stored = chunk_value(Place("0", "0" * 13), 3, pack(7))
    assert ChunkHead.read(stored) == ChunkHead(Place("0", "0" * 13), 3, 7)
    assert ChunkHead.read(stored[:30]) == ChunkHead(Place("0", "0" * 13), 3, 0)


@pytest.mark.parametrize(
    "stored", [b"", b"FJ", b"0 0 1\n", b"0 %013d 0\n" % 0, b"0 %013d 1001\n" % 0, b"x %013d 1\n" % 0]
)
def test_damaged_heads_of_chunks_are_not_read(stored: bytes) -> None:
    assert ChunkHead.read(stored + pack(1)) is None


@given(RECORDS)
def test_records_are_parsed_as_they_were_formatted(record: StoredRecord) -> None:
    stored = record.pack()
    assert StoredRecord.parse(stored) == StoredRecord.read(stored) == record
    assert record_body(stored) == record.body


@pytest.mark.parametrize("line", [b"", b"queued", b"queued 0 0 0 - work", b"queued 0 0 x - work\n", b"q 0 0 0 - a  \n"])
def test_damaged_records_are_not_read(line: bytes) -> None:
    assert StoredRecord.read(line) is None


@given(MARKS)
def test_marks_are_parsed_as_they_were_formatted(marks: Marks) -> None:
    stored = marks.pack()
    assert Marks.parse(stored) == Marks.read(stored) == marks
    assert parse_returns(stored) == (marks.redeliveries, marks.rounds)


@pytest.mark.parametrize("stored", [b"", b"1 0 0 0", b"1 0 0 0 ", b"1 0 0 0 -1", b"1 0 0 0 1,", b"1 0 0 0 - ", b"x"])
def test_damaged_marks_are_not_read(stored: bytes) -> None:
    assert Marks.read(stored) is None


@given(st.lists(st.builds(Member, PLACES, REFS, st.just("")), min_size=1))
def test_leases_are_parsed_as_they_were_formatted(members: list[Member]) -> None:
    stored = leased_value(members)
    assert parse_leased(stored) == read_leased(stored) == members
    assert read_leased(b"nonsense " + stored + b" \xff 0 0000x") == members


@given(st.integers(0, 9), st.lists(NUMBERS.map(str)).map(tuple))
def test_what_sessions_hold_is_parsed_as_it_was_formatted(request: int, fences: tuple[str, ...]) -> None:
    held = HeldFences(f"{request}:{request}", fences)
    assert HeldFences.parse(held.pack()) == HeldFences.read(held.pack()) == held


@pytest.mark.parametrize("stored", [b"", b"1", b"1:1 ", b"1:1 x", b"1:1  2"])
def test_damaged_lists_of_fences_are_not_read(stored: bytes) -> None:
    assert HeldFences.read(stored) is None


@given(st.lists(finished(), max_size=5))
def test_segments_are_parsed_as_they_were_formatted(made: list[Segment]) -> None:
    stored = b"".join(segment.pack() for segment in made)
    assert list(segments(stored)) == made
    assert list(segments(stored + b"0+1 " + bytes(16))) == made


def test_times_of_finished_jobs() -> None:
    head = struct.pack("<QB", 1_700_000_000_000_000, 4) + b"host"
    segment = Segment(5, 2, head, struct.pack("<ffff", 1.0, 0.25, 3.0, 0.5))
    assert list(segment.times()) == [
        (5, Times(1_700_000_000_000, 0.25, "host")),
        (6, Times(1_700_000_002_000, 0.5, "host")),
    ]


def test_lines_of_recurring_jobs() -> None:
    stored = b"1 2 active 1900000000000 0 - skip every 30\n{}"
    line = DefinitionLine(1, 2, "active", 1_900_000_000_000, 0, "-", "skip", "every 30")
    assert DefinitionLine.parse(stored) == DefinitionLine.read(stored) == line
    assert definition_body(stored) == b"{}"


@pytest.mark.parametrize("stored", [b"", b"?", b"1 2 busy 3 0 - skip every 30\n", b"1 2 active 3 0 - skip every 30"])
def test_damaged_lines_of_recurring_jobs_are_not_read(stored: bytes) -> None:
    assert DefinitionLine.read(stored) is None
