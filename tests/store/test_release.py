"""The release script: unstarted jobs go back to their exact place, uncharged."""

from __future__ import annotations

import pytest

from tests.harness.queue import QueueUnderTest


def test_released_jobs_stand_where_they_stood(queue: QueueUnderTest) -> None:
    ids = [queue.enqueue(n, priority=priority) for n, priority in ((1, 0), (4, 2), (2, 0), (1, 2))]
    line = queue.get_ready()
    held = queue.fetch(queue.open(), 20)
    later = queue.enqueue(priority=2)
    assert queue.release(held) == 8
    assert [job for job in queue.get_ready() if job != f"{later}~000"] == line
    assert queue.get_ready().index(f"{later}~000") == line.index(f"{ids[0]}~000")
    assert queue.counts() == {"queued": 9}


def test_the_same_release_sent_again_changes_nothing(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(5)
    assert queue.release(held) == 5
    before = queue.stored()
    assert queue.release(held) == 0
    assert queue.stored() == before


def test_a_release_sent_again_does_not_touch_what_others_took_meanwhile(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(5)
    queue.release(held)
    other = queue.fetch(queue.open(), 5)
    before = queue.stored()
    assert queue.release(held) == 0
    assert queue.stored() == before
    assert queue.finish(other) == 5


@pytest.mark.parametrize(("first", "count"), [(0, 2), (2, 3), (7, 3), (0, 10), (9, 1)])
def test_any_part_of_a_span_can_be_released(queue: QueueUnderTest, first: int, count: int) -> None:
    held = queue.seed_executing(10)
    chunk_id = held.refs[0].partition("~")[0]
    assert queue.release(held, [f"{chunk_id}~{first:03}+{count}"]) == count
    assert queue.get_ready() == [f"{chunk_id}~{index:03d}" for index in range(first, first + count)]
    queue.snapshot()
    left = [queue.run(chunk_id, 10, 0, 10)]
    assert queue.ack(held, left) == 10 - count


def test_overlapping_parts_are_released_once(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(10)
    chunk_id = held.refs[0].partition("~")[0]
    assert queue.release(held, [f"{chunk_id}~002+4", f"{chunk_id}~000+10", f"{chunk_id}~003+1"]) == 10
    assert sorted(queue.get_ready()) == sorted(f"{chunk_id}~{index:03d}" for index in range(10))


def test_what_was_acked_is_not_released(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(4)
    chunk_id = held.refs[0].partition("~")[0]
    queue.ack(held, [queue.run(chunk_id, 4, 1, 2)])
    assert queue.release(held) == 2
    assert queue.get_ready() == [f"{chunk_id}~000", f"{chunk_id}~003"]


def test_a_fenced_session_releases_nothing(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(2)
    queue.seed_expired(held.session)
    queue.reclaim_all()
    before = queue.stored()
    assert queue.release(held) == -1
    assert queue.stored() == before


def test_another_session_releases_nothing(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(2)
    thief = held._replace(session=queue.open())
    before = queue.stored()
    assert queue.release(thief) == 0
    assert queue.stored() == before


def test_a_detached_job_is_released_to_its_place(queue: QueueUnderTest) -> None:
    chunk_id = queue.seed_retrying(delay_ms=0)
    behind = queue.enqueue()
    held = queue.fetch(queue.open(), 1)
    assert held.refs == [f"{chunk_id}~000"]
    assert queue.release(held) == 1
    assert queue.get_ready() == [f"{chunk_id}~000", f"{behind}~000"]
    assert queue.status(chunk_id) == "queued"


def test_released_jobs_are_charged_no_redelivery(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(2)
    queue.release(held)
    again = queue.fetch(held.session, 2)
    assert [span.redeliveries for span in again.lease.spans] == [0]


def test_a_job_that_is_to_be_cancelled_ends_instead_of_returning(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(5)
    chunk_id = held.refs[0].partition("~")[0]
    job = queue.seed_cancelling(held, 2)
    assert queue.release(held) == 5
    assert queue.get_ready() == [f"{chunk_id}~{index:03d}" for index in (0, 1, 3, 4)]
    assert queue.get_ended("cancelled") == [job]
    assert queue.counts() == {"queued": 4, "cancelled": 1}


def test_a_release_leaves_a_hint(queue: QueueUnderTest) -> None:
    held = queue.seed_executing()
    assert queue.raw.llen(queue.keys.wake) == 0
    queue.release(held)
    assert queue.raw.llen(queue.keys.wake) == 1
