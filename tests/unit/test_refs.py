"""Names of stored things: what is formatted is parsed back, and what scripts never write is not read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastjobs.errors import JobNotFound
from fastjobs.model import refs
from fastjobs.model.refs import JobAddress, Member, Place, Ref

CHUNK_IDS = st.text("aZ09_.:-", min_size=1, max_size=128)
REFS = st.one_of(
    st.builds(Ref, CHUNK_IDS, st.just(0), st.just(1), st.just("alone")),
    st.builds(Ref, CHUNK_IDS, st.integers(0, 499), st.integers(1, 501), st.just("span")),
    st.builds(Ref, CHUNK_IDS, st.integers(0, 999), st.just(1), st.just("detached")),
)
PLACES = st.builds(Place, st.integers(-(2**31), 2**31).map(str), st.integers(0, 16**13 - 1).map("{:013x}".format))


@given(REFS)
def test_refs_are_parsed_as_they_were_formatted(ref: Ref) -> None:
    assert refs.parse_ref(ref.text) == refs.read_ref(ref.text) == ref
    assert refs.is_detached(ref.text) == (ref.kind == "detached")
    assert len(ref.jobs) == ref.count


@given(PLACES, REFS, st.sampled_from("sr"))
def test_members_are_parsed_as_they_were_formatted(place: Place, ref: Ref, kind: str) -> None:
    member = Member(place, ref, kind)
    assert refs.parse_scheduled(member.scheduled) == refs.read_scheduled(member.scheduled) == member
    ready = Member(place, ref)
    assert refs.parse_ready(ready.ready, place.score) == refs.read_ready(ready.ready, place.score) == ready
    assert refs.split_member(ready.ready.encode()) == (int(place.sequence, 16), ref.text)
    assert ready.leased == f"{place.score} {ready.ready}"


@given(st.integers(0, 1000), REFS.filter(lambda ref: ref.kind != "span"))
def test_members_of_the_finished_log_are_parsed_as_they_were_formatted(number: int, ref: Ref) -> None:
    member = refs.logged_member(number, ref.text)
    assert refs.parse_logged(member) == (number, ref.text)
    assert refs.read_logged(member) == (number, ref)


NO_REFS = (
    *("", "~", "x~", "x~1", "x~01", "x~1000", "x~-1", "x~-01", "x+1"),
    *("x~1+1", "x~01+1", "x~0001+1", "x~000+0", "x~000+01", "x~000+"),
    *("a b", "x~00\u0663", "x~001~2", "x\n", "x~001\n", "\u00e9", "\udcff", "x" * 129, "{x}", "x,y"),
)


@pytest.mark.parametrize("text", NO_REFS)
def test_what_is_no_ref_is_not_read(text: str) -> None:
    assert refs.read_ref(text) is None
    assert refs.read_ready("0" * 13 + text, "0") is None
    assert refs.read_scheduled("s0," + "0" * 13 + text) is None
    assert refs.read_logged(f"1 {text}") is None
    with pytest.raises(JobNotFound):
        refs.address(text)


@pytest.mark.parametrize("member", ["", "0" * 13, "0" * 12 + "gx", "0" * 12 + "Ax", "0" * 13 + " x", "0" * 13 + "x "])
def test_what_is_no_member_is_not_read(member: str) -> None:
    assert refs.read_ready(member, "0") is None
    assert refs.read_scheduled(f"s0,{member}") is None


@pytest.mark.parametrize("head", ["", "s", "x0", "s0.5", "s-", "r123456789012", "s0 "])
def test_what_is_no_kind_and_score_is_not_read(head: str) -> None:
    assert refs.read_scheduled(f"{head},{'0' * 13}x") is None
    assert refs.read_scheduled(head) is None


@pytest.mark.parametrize("member", ["", "x", "1", "1 ", " x", "12345 x", "-1 x", "1 x~000+2", "1  x"])
def test_what_is_no_member_of_the_finished_log_is_not_read(member: str) -> None:
    assert refs.read_logged(member) is None


def test_addresses_of_jobs() -> None:
    assert refs.address("x") == JobAddress("x", 0, True)
    assert refs.address("x~012") == JobAddress("x", 12, False)
    assert refs.job_id("x", 0, 1) == "x"
    assert refs.job_id("x", 3, 4) == refs.JobAddress("x", 3, False).ref == "x~003"
    with pytest.raises(JobNotFound):
        refs.address("x~000+3")


def test_a_sequence_has_as_many_digits_as_scripts_rely_on() -> None:
    assert refs.format_sequence(0) == "0" * refs.SEQUENCE_DIGITS
    sequence = refs.format_sequence(1_700_000_000_000_999)
    assert len(sequence) == refs.SEQUENCE_DIGITS
    assert Place("0", sequence).at_ms == 1_700_000_000_000


@pytest.mark.parametrize(
    ("ref", "record", "job_id"),
    [
        ("chunk~007", b"", "chunk~007"),
        ("chunk~000", b"", "chunk"),
        ("chunk~000", b'{"v":1,"id":"chunk"', "chunk"),
        ("chunk~000", b'{"v":1,"id":"chunk~000"', "chunk~000"),
    ],
)
def test_the_id_of_a_job_whose_record_cannot_be_read(ref: str, record: bytes, job_id: str) -> None:
    assert refs.detached_id(ref, record) == job_id


def test_names_of_leases() -> None:
    assert refs.parse_lease_name("session:12") == ("session", "12")
    assert refs.parse_lease_name("session") is None
