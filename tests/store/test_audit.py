"""The audit script: leases a live session does not know of go back."""

from __future__ import annotations

from tests.harness.queue import QueueUnderTest


def test_a_lease_the_session_does_not_know_of_is_given_back(queue: QueueUnderTest) -> None:
    known = queue.seed_executing(2)
    chunk_id = queue.enqueue(3)
    lost = queue.fetch(known.session, 3)
    assert queue.audit(known.session, [known.fence]) == 3
    assert queue.get_ready() == [f"{chunk_id}~{index:03d}" for index in range(3)]
    assert queue.counts() == {"executing": 2, "queued": 3}
    assert queue.finish(lost) == 0
    assert queue.finish(known) == 2


def test_an_audit_of_a_session_that_knows_everything_changes_nothing(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(2)
    before = queue.stored()
    assert queue.audit(held.session, [held.fence, held.fence + 99]) == 0
    assert queue.stored() == before


def test_the_same_audit_sent_again_changes_nothing(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(2)
    assert queue.audit(held.session) == 2
    before = queue.stored()
    assert queue.audit(held.session) == 0
    assert queue.stored() == before


def test_leases_of_other_sessions_are_left_alone(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(2)
    assert queue.audit(queue.open()) == 0
    assert queue.finish(held) == 2


def test_a_fenced_session_is_told(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(2)
    queue.seed_expired(held.session)
    queue.reclaim_all()
    before = queue.stored()
    assert queue.audit(held.session) == -1
    assert queue.stored() == before


def test_jobs_given_back_by_an_audit_are_charged_nothing(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(2)
    queue.audit(held.session)
    again = queue.fetch(held.session, 2)
    assert [span.redeliveries for span in again.lease.spans] == [0]


def test_a_job_that_is_to_be_cancelled_ends_in_an_audit(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(2)
    job = queue.seed_cancelling(held, 1)
    assert queue.audit(held.session) == 1
    assert queue.get_ended("cancelled") == [job]
