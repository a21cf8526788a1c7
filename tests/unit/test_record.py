"""The record of a detached job: bounded, text only, and kind to newer releases."""

from __future__ import annotations

import json

import pytest

from fastjobs.errors import CorruptChunk, NewerFormat
from fastjobs.model.record import MAX_ERRORS, MAX_MESSAGE, MAX_TRACEBACK, ErrorRecord, JobRecord


def full_record() -> JobRecord:
    record = JobRecord(
        id="c~003",
        type="work",
        payload=[1, "zwei", {"three": 2**63}],
        options={"retries": 2},
        priority=-5,
        created_at_ms=1_700_000_000_000,
        attempts=2,
        crashes=1,
        suspects=4,
        redelivered=2,
        unknown=3,
        started_at_ms=1_700_000_001_000,
        run_s=0.25,
        worker="host:1",
    )
    record.add_error(ErrorRecord(type="ValueError", message="no", traceback="...", attempt=1, at_ms=5, worker="host:1"))
    return record


def test_what_is_encoded_is_decoded() -> None:
    assert JobRecord.decode(full_record().encode()) == full_record()


def test_crashes_are_attempts_that_are_no_failures() -> None:
    assert (full_record().attempts, full_record().crashes, full_record().failures) == (2, 1, 1)


def test_fields_of_newer_releases_are_kept() -> None:
    stored = json.loads(full_record().encode())
    stored["colour"] = {"deep": [1, 2]}
    record = JobRecord.decode(json.dumps(stored).encode())
    assert record.extra == {"colour": {"deep": [1, 2]}}
    assert json.loads(record.encode()) == stored


@pytest.mark.parametrize("place", ["later", "errors", "options", "payload"])
def test_what_is_too_deep_to_be_written_again_is_not_read(place: str) -> None:
    """Fault C28. A worker's main loop writes what it has read."""
    stored = json.loads(full_record().encode())
    deep = json.loads("[" * 300 + "]" * 300)
    stored[place] = {
        "later": deep,
        "errors": [{"type": "a", "message": "b", "later": deep}],
        "options": {"later": deep},
        "payload": [deep, {}],
    }[place]
    with pytest.raises(CorruptChunk):
        JobRecord.decode(json.dumps(stored).encode())
    stored["v"] = 2
    with pytest.raises(NewerFormat):
        JobRecord.decode(json.dumps(stored).encode())


def test_fields_an_older_release_did_not_write_have_defaults() -> None:
    record = JobRecord.decode(b'{"v":1,"id":"c","type":"work","payload":null,"errors":[]}')
    assert (record.payload, record.attempts, record.worker) == (None, 0, "")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        b"{}",
        b'{"v":1}',
        b'{"v":1,"id":"c","type":"w","payload":[],"errors":[{"colour":1}]}',
        b'{"v":1,"id":"c","type":"w","payload":[],"errors":3}',
        b'{"v":1,"type":"w","payload":[],"errors":[]}',
        b'{"v":1,"id":"c","type":"w","payload":"[]","errors":[]}',
        b'{"v":1,"id":"c","type":["w"],"payload":[],"errors":[]}',
        b'{"v":1,"id":"c","type":"w","payload":[],"errors":[],"attempts":"1"}',
        b'{"v":1,"id":"c","type":"w","payload":[],"errors":[],"crashes":true}',
        b'{"v":1,"id":"c","type":"w","payload":[],"errors":[],"options":null}',
        b"\xff\xfe",
    ],
)
def test_bytes_that_are_no_record_are_told(data: bytes) -> None:
    with pytest.raises(CorruptChunk, match="record"):
        JobRecord.decode(data)


def test_of_many_errors_the_first_and_the_last_are_kept() -> None:
    record = JobRecord(id="c", type="work", payload=[{}])
    for attempt in range(1, 50):
        record.add_error(ErrorRecord(type="E", message="m", attempt=attempt))
    assert [error.attempt for error in record.errors] == [1, *range(51 - MAX_ERRORS, 50)]


def test_long_texts_are_cut_both_ends_of_a_traceback_stay() -> None:
    record = JobRecord(id="c", type="work", payload=[{}])
    record.add_error(ErrorRecord(type="E", message="x" * 100_000, traceback="the start" + "a" * 100_000 + "the end"))
    (error,) = record.errors
    assert len(error.message) == MAX_MESSAGE
    assert len(error.traceback) == MAX_TRACEBACK
    assert error.traceback.startswith("the start")
    assert error.traceback.endswith("the end")


def test_texts_are_cut_by_their_bytes() -> None:
    record = JobRecord(id="c", type="work", payload=[{}])
    record.add_error(ErrorRecord(type="E", message="\u20ac" * 1_000, traceback="\u20ac" * 10_000))
    (error,) = record.errors
    assert error.message == "\u20ac" * 666
    assert 3_990 < len(error.traceback.encode()) <= MAX_TRACEBACK


def test_a_traceback_that_a_record_has_several_times_is_stored_once() -> None:
    record = JobRecord(id="c", type="work", payload=[{}])
    for attempt in range(5):
        record.add_error(ErrorRecord(type="E", message=f"no {attempt}", traceback=f"{attempt // 3}" * 3_000))
    assert JobRecord.decode(record.encode()) == record
    assert len(record.encode()) < 7_000


@pytest.mark.parametrize("number", [-1, 1, 2])
def test_a_traceback_of_no_earlier_error_is_told(number: int) -> None:
    errors = [{"type": "E", "message": "", "traceback": "t"}, {"type": "E", "message": "", "traceback": number}]
    stored = {"v": 1, "id": "c", "type": "work", "payload": [], "errors": errors}
    with pytest.raises(CorruptChunk, match="traceback"):
        JobRecord.decode(json.dumps(stored).encode())


def test_texts_that_utf8_cannot_hold_are_stored_all_the_same() -> None:
    record = JobRecord(id="c", type="work", payload=[{}])
    record.add_error(ErrorRecord(type="E", message="bad \ud800", traceback="\udfff"))
    assert JobRecord.decode(record.encode()).errors[0].message == "bad ?"
