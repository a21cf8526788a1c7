"""Which refused reports are told as possible duplicates."""

from __future__ import annotations

import logging

import pytest

from fastjobs.worker.process.refusals import Refusals
from tests.harness.queue import Held, QueueUnderTest

KEY = {"k": "A" * 43 + "="}


@pytest.fixture(params=[{}, {"signing_keys": KEY}], ids=["plain", "sealed"])
def reported(request: pytest.FixtureRequest, make_queue) -> tuple[QueueUnderTest, Held, list]:
    """A lease of a chunk of ten, and reports: a run of eight, one job that is to be retried, one that failed."""
    queue = make_queue(**request.param) if not request.param else sealed_queue(request, make_queue, request.param)
    held = queue.seed_executing(10)
    (ref,) = held.refs
    chunk_id = ref.partition("~")[0]
    run = queue.run(chunk_id, 10, 0, 8, keep_ms=60_000)
    outcomes = [
        queue.outcome(chunk_id, 8, "retrying", n=10, delay_ms=60_000),
        queue.outcome(chunk_id, 9, "failed", n=10),
    ]
    return queue, held, [run, *outcomes]


def sealed_queue(request, make_queue, settings) -> QueueUnderTest:
    """One whose snapshot is not looked at: what it holds cannot be read without its key."""
    plain = make_queue()
    queue = QueueUnderTest(plain.config.url, plain.config.namespace, "sealed", **settings)
    request.addfinalizer(queue.close)
    return queue


def told(caplog: pytest.LogCaptureFixture, queue: QueueUnderTest, reports: list, *, in_doubt: bool) -> list[int]:
    refusals = Refusals(queue.store)
    refusals.add(queue.name, reports)
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        refusals.report(in_doubt=in_doubt)
        refusals.report(in_doubt=in_doubt)
    return [record.fastjobs_fields["jobs"] for record in caplog.records]


def test_what_was_taken_before_is_no_duplicate(reported, caplog):
    queue, held, reports = reported
    assert queue.ack(held, reports[:1], reports[1:]) == 10
    assert told(caplog, queue, reports, in_doubt=True) == []
    # Nothing was lost on the way, so it was somebody else who reported the same.
    assert told(caplog, queue, reports, in_doubt=False) == [10]


def test_what_was_taken_in_part_is_reported_in_part(reported, caplog):
    queue, held, reports = reported
    assert queue.ack(held, reports[:1], reports[1:2]) == 9
    assert told(caplog, queue, reports, in_doubt=True) == [1]


def test_what_others_have_is_reported(reported, caplog):
    queue, held, reports = reported
    assert told(caplog, queue, reports, in_doubt=True) == [10]
    queue.close_session(held.session)
    others = queue.fetch(queue.open(), 100)
    assert told(caplog, queue, reports, in_doubt=True) == [10]
    assert queue.finish(others, keep_ms=60_000) == 10
    for other_run in (
        reports[0]._replace(head=reports[0].head[:-1] + b"2"),
        reports[0]._replace(columns=bytes(range(64))),
    ):
        assert told(caplog, queue, [other_run, *reports[1:]], in_doubt=True) == [10]


def test_nothing_refused_is_not_reported(reported, caplog):
    queue, _, _ = reported
    assert told(caplog, queue, [], in_doubt=True) == []
