"""The postpone script: jobs this process cannot run wait for another, and keep their place."""

from __future__ import annotations

import pytest

from fastjobs.model.stored import Marks
from tests.harness.queue import Held, QueueUnderTest


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
    assert set(queue.get_scheduled()) == {f"{chunk_id}~{index:03d}" for index in (2, 3, 4)}
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


def test_postponed_jobs_are_found_as_scheduled_for_their_time(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(9)
    chunk_id = held.refs[0].partition("~")[0]
    for first, delay_ms in ((0, 60_000), (3, 120_000), (6, 60_000)):
        queue.postpone(held, delay_ms, [f"{chunk_id}~{first:03d}+3"])
    due = queue.get_scheduled()
    for index in range(9):
        found = queue.find(chunk_id, index)
        assert found is not None
        assert (found.status, found.due_at_ms) == ("scheduled", due[f"{chunk_id}~{index:03d}"])


def test_times_of_postponements_that_are_over_are_not_kept(queue: QueueUnderTest) -> None:
    queue.enqueue(4)
    session = queue.open()
    for delay_ms in (1_000, 2_000, 3_000, 4_000):
        queue.postpone(queue.fetch(session, 4), delay_ms)
        queue.seed_due()
    (marks,) = queue.raw.hvals(queue.keys.marks)
    assert len(marks.split(b" ")[5].split(b",")) == 1


def postpone_growing(queue: QueueUnderTest, held: Held, refs: list[str] | None = None) -> None:
    batch = queue.store.batch()
    batch.postpone(queue.name, held.session, held.fence, 1_000, refs or held.refs, most_ms=3_000).run()


def test_jobs_of_a_chunk_that_are_postponed_one_after_the_other_are_due_together(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(9)
    chunk_id = held.refs[0].partition("~")[0]
    for first in (0, 3, 6):
        postpone_growing(queue, held, [f"{chunk_id}~{first:03d}+3"])
    assert len(set(queue.get_scheduled().values())) == 1
    (marks,) = queue.raw.hvals(queue.keys.marks)
    assert marks.decode().split(" ")[5] == "1"


@pytest.mark.parametrize("n", [1, 4])
def test_delays_grow_with_each_round_up_to_a_limit(queue: QueueUnderTest, n: int) -> None:
    chunk_id = queue.enqueue(n)
    session = queue.open()
    delays = []
    for rounds in range(4):
        held = queue.fetch(session, n)
        assert held.lease.spans[0].rounds == rounds
        postpone_growing(queue, held)
        (due_ms,) = set(queue.get_scheduled().values())
        delays.append(round((due_ms - held.lease.now_ms) / 1000))
        let_round_end(queue, chunk_id)
    assert delays == [1, 2, 3, 3]


def let_round_end(queue: QueueUnderTest, chunk_id: str) -> None:
    """Lets the postponed jobs of a chunk be due now, as if their time had passed."""
    marks = Marks.parse(queue.raw.hget(queue.keys.marks, chunk_id))
    queue.raw.hset(queue.keys.marks, chunk_id, marks._replace(postponed=(queue.server_ms() - 1,)).pack())
    queue.seed_due()


def test_a_postponed_job_that_is_to_be_cancelled_ends(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(3)
    queue.seed_cancelling(held, 1)
    assert queue.postpone(held, 60_000) == 3
    assert queue.counts() == {"scheduled": 2, "cancelled": 1}


def test_a_postponed_detached_job_is_found_as_scheduled(queue: QueueUnderTest) -> None:
    ref = queue.seed_retrying(delay_ms=1)
    queue.seed_due()
    held = queue.fetch(queue.open(), 1)
    assert queue.postpone(held, 60_000) == 1
    found = queue.find(ref.partition("~")[0])
    assert found is not None
    assert (found.status, found.due_at_ms) == ("scheduled", queue.get_scheduled()[f"{ref}~000"])
