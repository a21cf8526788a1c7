"""The close script: a session that ends gives everything back, in bounded steps, uncharged."""

from __future__ import annotations

from tests.harness.queue import QueueUnderTest, origin, pack


def test_a_closed_session_holds_nothing_and_is_gone(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(4)
    chunk_id = held.refs[0].partition("~")[0]
    queue.ack(held, [queue.run(chunk_id, 4, 0, 1)])
    assert queue.close_session(held.session) == [3, 1]
    assert queue.get_ready() == [f"{chunk_id}~{index:03d}" for index in (1, 2, 3)]
    assert queue.counts() == {"queued": 3}
    assert queue.raw.zcard(queue.keys.sessions) == 0
    assert queue.raw.hlen(queue.keys.leases) == 0


def test_closing_again_changes_nothing(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(4)
    queue.close_session(held.session)
    before = queue.stored()
    assert queue.close_session(held.session) == [0, 1]
    assert queue.stored() == before


def test_closing_a_session_that_never_was_is_harmless(queue: QueueUnderTest) -> None:
    before = queue.stored()
    assert queue.close_session("never") == [0, 1]
    assert queue.stored() == before


def test_a_closed_sessions_acks_are_refused(queue: QueueUnderTest) -> None:
    held = queue.seed_executing()
    queue.close_session(held.session)
    before = queue.stored()
    assert queue.finish(held) == -1
    assert queue.stored() == before


def test_other_sessions_keep_what_they_hold(queue: QueueUnderTest) -> None:
    one = queue.seed_executing(2)
    other = queue.seed_executing(2)
    queue.close_session(one.session)
    assert queue.finish(other) == 2


def test_a_session_with_much_is_closed_in_bounded_steps(queue: QueueUnderTest) -> None:
    session = queue.open()
    batch = queue.store.batch()
    for index in range(1200):
        batch.enqueue(queue.name, f"c{index:04}", 1, 0, pack(), origin())
    batch.run()
    for _ in range(6):
        queue.fetch(session, 200)
    steps = []
    while not steps or not steps[-1][1]:
        steps.append(queue.close_session(session))
        queue.snapshot()
    assert len(steps) > 1
    assert all(jobs < 760 for jobs, _ in steps)
    assert sum(jobs for jobs, _ in steps) == 1200
    assert queue.get_ready() == [f"c{index:04}~000" for index in range(1200)]


def test_a_session_that_is_being_reclaimed_can_be_closed(queue: QueueUnderTest) -> None:
    session = queue.open()
    batch = queue.store.batch()
    for index in range(1200):
        batch.enqueue(queue.name, f"c{index:04}", 1, 0, pack(), origin())
    batch.run()
    for _ in range(6):
        queue.fetch(session, 200)
    queue.seed_expired(session)
    assert queue.reclaim().more
    while not queue.close_session(session)[1]:
        pass
    assert queue.counts() == {"queued": 1200}


def test_jobs_given_back_by_a_close_are_charged_nothing(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(2)
    queue.close_session(held.session)
    again = queue.fetch(queue.open(), 2)
    assert [span.redeliveries for span in again.lease.spans] == [0]


def test_jobs_that_are_to_be_cancelled_end_when_their_session_closes(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(3)
    jobs = [queue.seed_cancelling(held, index) for index in (0, 2)]
    assert queue.close_session(held.session) == [1, 1]
    assert sorted(queue.get_ended("cancelled")) == jobs
    assert queue.counts() == {"queued": 1, "cancelled": 2}
