"""The open and renew scripts: a session lives as long as it is renewed, and never comes back from being reclaimed."""

from __future__ import annotations

from tests.harness.queue import QueueUnderTest


def test_an_opened_session_lives_for_a_lease(queue: QueueUnderTest) -> None:
    before = queue.server_ms()
    session = queue.open()
    deadline = queue.raw.zscore(queue.keys.sessions, session) or 0
    assert before + queue.config.lease_ms <= deadline <= queue.server_ms() + queue.config.lease_ms


def test_opening_again_changes_nothing(queue: QueueUnderTest) -> None:
    queue.open("s")
    before = queue.stored()
    queue.open("s")
    assert queue.stored() == before


def test_renewing_moves_the_deadline_on(queue: QueueUnderTest) -> None:
    session = queue.open()
    queue.seed_expired(session)
    before = queue.server_ms()
    assert queue.renew(session) == [True]
    assert (queue.raw.zscore(queue.keys.sessions, session) or 0) >= before + queue.config.lease_ms


def test_renewing_tells_each_session_apart(queue: QueueUnderTest) -> None:
    alive, dead = queue.open(), queue.open()
    queue.seed_expired(dead)
    queue.reclaim_all()
    assert queue.renew(alive, dead, "never") == [True, False, False]
    assert queue.raw.zrange(queue.keys.sessions, 0, -1) == [alive.encode()]


def test_renewing_twice_is_like_renewing_once(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(3)
    assert queue.renew(held.session) == [True]
    before = queue.stored()
    assert queue.renew(held.session) == [True]
    after = queue.stored()
    before.pop("sessions"), after.pop("sessions")
    assert after == before


def test_renewing_nobody_is_harmless(queue: QueueUnderTest) -> None:
    assert queue.renew() == []


def test_renewing_tells_which_jobs_are_to_be_cancelled(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(3)
    job = queue.seed_cancelling(held, 1)
    renewed = queue.store.batch().renew(queue.name, [held.session]).run()
    assert renewed.cancelling == [job]
