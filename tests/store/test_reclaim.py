"""The reclaim script: jobs of dead sessions come back, in bounded steps, but not after an outage."""

from __future__ import annotations

from tests.harness.queue import QueueUnderTest, origin, pack
from tests.harness.server import ServerProcess
from tests.harness.waiting import wait_until
from tests.model.clock import TestClock, timed_scripts
from tests.store.conftest import MakeQueue


def test_jobs_of_a_dead_session_stand_where_they_stood(queue: QueueUnderTest) -> None:
    first = queue.enqueue(3)
    second = queue.enqueue()
    line = queue.get_ready()
    held = queue.fetch(queue.open(), 10)
    queue.enqueue(chunk_id="later")
    queue.seed_expired(held.session)
    step = queue.reclaim()
    assert (step.sessions, step.jobs) == (1, 4)
    assert queue.get_ready() == [*line, "later~000"]
    assert queue.counts() == {"queued": 5}
    assert {first, second} == {ref.partition("~")[0] for ref in held.refs}


def test_a_live_session_keeps_its_jobs(queue: QueueUnderTest) -> None:
    queue.seed_executing(2)
    before = queue.stored()
    assert queue.reclaim() == (0, 0, False)
    assert queue.stored() == before


def test_reclaiming_again_changes_nothing(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(2)
    queue.seed_expired(held.session)
    queue.reclaim_all()
    before = queue.stored()
    assert queue.reclaim() == (0, 0, False)
    assert queue.stored() == before


def test_redeliveries_are_counted_per_chunk_and_told(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(4)
    chunk_id = held.refs[0].partition("~")[0]
    for number in (1, 2):
        queue.seed_expired(held.session)
        queue.reclaim_all()
        held = queue.fetch(queue.open(), 4)
        assert [span.redeliveries for span in held.lease.spans] == [number]
    assert queue.raw.hget(queue.keys.stats, "redelivered_total") == b"8"
    queue.finish(held)
    assert queue.size_of(chunk_id) == 0


def test_redeliveries_of_a_detached_job_are_its_own(queue: QueueUnderTest) -> None:
    queue.seed_retrying()
    queue.seed_due()
    held = queue.fetch(queue.open(), 1)
    queue.seed_expired(held.session)
    queue.reclaim_all()
    held = queue.fetch(queue.open(), 1)
    assert [span.redeliveries for span in held.lease.spans] == [1]
    queue.finish(held)
    assert queue.raw.hlen(queue.keys.marks) == 0


def test_only_what_was_not_acked_comes_back(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(5)
    chunk_id = held.refs[0].partition("~")[0]
    queue.ack(held, [queue.run(chunk_id, 5, 1, 2)], [queue.outcome(chunk_id, 4, "failed")])
    queue.seed_expired(held.session)
    assert queue.reclaim_all() == 2
    assert queue.get_ready() == [f"{chunk_id}~000", f"{chunk_id}~003"]


def test_a_large_session_comes_back_in_bounded_steps_and_is_fenced_before_the_first(queue: QueueUnderTest) -> None:
    session = queue.open()
    batch = queue.store.batch()
    for index in range(1500):
        batch.enqueue(queue.name, f"c{index:04}", 1, 0, pack(), origin())
    batch.run()
    held = [queue.fetch(session, 200) for _ in range(8)]
    queue.seed_expired(session)
    step = queue.reclaim()
    assert (step.sessions, step.more) == (0, True)
    assert 500 <= step.jobs < 760
    assert queue.finish(held[-1]) == -1
    assert queue.renew(session) == [False]
    assert not queue.store.batch().open(queue.name, session).run()
    queue.snapshot()
    assert step.jobs + queue.reclaim_all() == 1500
    assert queue.get_ready() == [f"c{index:04}~000" for index in range(1500)]
    assert queue.raw.zcard(queue.keys.sessions) == 0


def test_sessions_come_back_one_by_one(queue: QueueUnderTest) -> None:
    queue.enqueue(6)
    sessions = [queue.open() for _ in range(3)]
    for session in sessions:
        queue.fetch(session, 2)
        queue.seed_expired(session)
    steps = [queue.reclaim() for _ in range(4)]
    assert [step.jobs for step in steps] == [2, 2, 2, 0]
    assert [step.more for step in steps] == [True, True, True, False]


def test_a_session_that_holds_nothing_goes(queue: QueueUnderTest) -> None:
    queue.seed_expired(queue.open())
    assert queue.reclaim() == (1, 0, True)
    assert queue.raw.zcard(queue.keys.sessions) == 0


def test_a_job_that_is_to_be_cancelled_ends_with_its_session(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(2)
    job = queue.seed_cancelling(held, 0)
    queue.seed_expired(held.session)
    assert queue.reclaim_all() == 1
    assert queue.get_ended("cancelled") == [job]
    assert queue.counts() == {"queued": 1, "cancelled": 1}


def test_after_an_outage_nothing_is_reclaimed_for_one_lease(make_queue: MakeQueue) -> None:
    queue = make_queue(lease_s=60)
    held = queue.seed_executing(2)
    queue.seed_expired(held.session)
    # No call came through for more than half a lease.
    queue.raw.hset(queue.keys.stats, "tick", queue.server_ms() - 30_001)
    assert queue.reclaim() == (0, 0, False)
    grace_until = int(queue.raw.hget(queue.keys.stats, "grace_until") or 0)
    assert 59_000 < grace_until - queue.server_ms() <= 60_000
    assert queue.reclaim() == (0, 0, False)
    # The worker that lived through it renews in time, and its jobs stay its own.
    assert queue.renew(held.session) == [True]
    queue.raw.hset(queue.keys.stats, "grace_until", queue.server_ms())
    assert queue.reclaim() == (0, 0, False)
    assert queue.finish(held) == 2


def test_a_clock_that_went_back_counts_as_an_outage(make_queue: MakeQueue) -> None:
    queue = make_queue(lease_s=60)
    held = queue.seed_executing()
    queue.seed_expired(held.session)
    queue.raw.hset(queue.keys.stats, "tick", queue.server_ms() + 3_600_000)
    assert queue.reclaim() == (0, 0, False)
    assert queue.counts() == {"executing": 1}


def test_a_dead_session_keeps_its_jobs_no_longer_when_the_clock_is_set_back(
    server: ServerProcess, namespace: str
) -> None:
    """Fault B26."""
    with timed_scripts():
        queue = QueueUnderTest(server.url, namespace, lease_s=20)
        clock = TestClock(queue.raw, queue.keys.chunks.removesuffix(b"chunks"))
        dead, alive = queue.seed_executing(), queue.seed_executing()
        clock.advance(-600_000)
        for _ in range(5):
            assert queue.renew(alive.session) == [True]
            assert queue.reclaim_all() == 0
            clock.advance(4_000)
        assert queue.reclaim_all() == 1
        assert queue.counts() == {"queued": 1, "executing": 1}
        assert queue.finish(alive) == 1
        assert queue.finish(dead) == -1
        queue.close()


def test_a_pause_of_less_than_half_a_lease_is_no_outage(make_queue: MakeQueue) -> None:
    queue = make_queue(lease_s=60)
    held = queue.seed_executing()
    queue.seed_expired(held.session)
    queue.raw.hset(queue.keys.stats, "tick", queue.server_ms() - 25_000)
    assert queue.reclaim().jobs == 1


def test_with_real_clocks_a_silent_session_loses_its_jobs_and_a_beating_one_does_not(make_queue: MakeQueue) -> None:
    queue = make_queue(lease_s=0.3)
    silent, beating = queue.seed_executing(), queue.seed_executing()

    def reclaimed() -> bool:
        assert queue.renew(beating.session) == [True]
        queue.reclaim_all()
        return queue.counts().get("queued") == 1

    wait_until(reclaimed, 20, "the silent session is reclaimed")
    assert queue.get_ready() == [f"{silent.refs[0]}~000"]
    assert queue.finish(beating) == 1
    assert queue.finish(silent) == -1
