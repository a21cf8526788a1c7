"""The postpone script: jobs this process cannot run wait for another, and keep their place."""

from __future__ import annotations

from tests.harness.queue import QueueUnderTest


def test_postponed_jobs_are_scheduled(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(3)
    before = queue.server_ms()
    assert queue.postpone(held, 60_000) == 3
    due = queue.get_scheduled()
    assert len(due) == 3
    assert all(before + 60_000 <= due_ms <= queue.server_ms() + 60_000 for due_ms in due.values())
    assert queue.counts() == {"scheduled": 3}


def test_the_same_postponement_sent_again_changes_nothing(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(3)
    queue.postpone(held, 60_000)
    before = queue.stored()
    assert queue.postpone(held, 60_000) == 0
    assert queue.stored() == before


def test_postponed_jobs_return_to_their_place(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(2, priority=3)
    chunk_id = held.refs[0].partition("~")[0]
    queue.postpone(held, 60_000)
    later = queue.enqueue(priority=3)
    queue.seed_due()
    assert queue.fetch(held.session, 3).refs == [f"{chunk_id}~000+2", later]


def test_a_part_of_a_span_can_be_postponed(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(6)
    chunk_id = held.refs[0].partition("~")[0]
    assert queue.postpone(held, 60_000, [f"{chunk_id}~002+3"]) == 3
    assert set(queue.get_scheduled()) == {f"{chunk_id}~{index}" for index in (2, 3, 4)}
    assert queue.ack(held, [queue.run(chunk_id, 6, 0, 6)]) == 3


def test_a_fenced_session_postpones_nothing(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(2)
    queue.seed_expired(held.session)
    queue.reclaim_all()
    before = queue.stored()
    assert queue.postpone(held, 60_000) == -1
    assert queue.stored() == before


def test_another_session_postpones_nothing(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(2)
    thief = queue.open()
    before = queue.stored()
    assert queue.postpone(held._replace(session=thief), 60_000) == 0
    assert queue.stored() == before
