"""The enqueue script: one id is stored once, in its place or its time."""

from __future__ import annotations

import pytest

from fastjobs.store.replies import Stored
from tests.harness.queue import QueueUnderTest, pack
from tests.store.conftest import MakeQueue


def test_a_chunk_is_stored_and_put_in_line(queue: QueueUnderTest) -> None:
    blob = pack(3)
    chunk_id = queue.enqueue(3, blob=blob)
    assert queue.get_ready() == [f"{chunk_id}~{index:03d}" for index in range(3)]
    assert queue.counts() == {"queued": 3}
    stored = queue.raw.hget(queue.keys.chunks, chunk_id)
    assert stored is not None and stored.endswith(blob)
    assert queue.raw.hget(queue.keys.stats, "enqueued_total") == b"3"


def test_the_same_call_sent_again_changes_nothing(queue: QueueUnderTest) -> None:
    blob = pack(3)
    queue.enqueue(3, chunk_id="c", blob=blob)
    before = queue.stored()
    assert queue.try_enqueue(3, chunk_id="c", blob=blob) is Stored.EXISTING
    assert queue.stored() == before


def test_the_same_content_packed_at_another_time_is_the_same(queue: QueueUnderTest) -> None:
    first = pack(2)
    later = first[:4] + b"\0\0\0\0" + first[8:10] + b"\1\2\3\4\5\6" + first[16:]
    queue.enqueue(2, chunk_id="c", blob=first)
    assert queue.try_enqueue(2, chunk_id="c", blob=later) is Stored.EXISTING


def test_other_content_under_a_taken_id_is_a_conflict_and_changes_nothing(queue: QueueUnderTest) -> None:
    queue.enqueue(1, chunk_id="c", blob=pack(payload="mine"))
    before = queue.stored()
    assert queue.try_enqueue(1, chunk_id="c", blob=pack(payload="other")) is Stored.CONFLICT
    assert queue.stored() == before


def test_an_id_is_taken_while_its_job_is_executing(queue: QueueUnderTest) -> None:
    held = queue.seed_executing()
    before = queue.stored()
    assert queue.try_enqueue(1, chunk_id=held.refs[0]) is Stored.EXISTING
    assert queue.stored() == before


def test_an_id_is_taken_while_the_history_of_its_job_is_kept(queue: QueueUnderTest) -> None:
    chunk_id = queue.seed_finished()
    before = queue.stored()
    assert queue.try_enqueue(1, chunk_id=chunk_id) is Stored.EXISTING
    assert queue.stored() == before


@pytest.mark.parametrize("state", ["retrying", "failed", "cancelled"])
def test_an_id_whose_job_left_its_chunk_is_told_apart(queue: QueueUnderTest, state: str) -> None:
    chunk_id = getattr(queue, f"seed_{state}")()
    before = queue.stored()
    assert queue.try_enqueue(1, chunk_id=chunk_id) is Stored.DETACHED
    assert queue.stored() == before


def test_higher_priorities_come_first_and_equal_ones_in_order(queue: QueueUnderTest) -> None:
    low, first, second, high = (queue.enqueue(priority=priority) for priority in (-1, 0, 0, 2**31))
    assert queue.get_ready() == [f"{chunk_id}~000" for chunk_id in (high, first, second, low)]


def test_a_delayed_chunk_is_due_after_its_delay_by_the_servers_clock(queue: QueueUnderTest) -> None:
    before = queue.server_ms()
    chunk_id = queue.enqueue(2, delay_ms=60_000)
    due = queue.get_scheduled()
    assert set(due) == {f"{chunk_id}~000", f"{chunk_id}~001"}
    assert before + 60_000 <= due[f"{chunk_id}~000"] <= queue.server_ms() + 60_000
    assert queue.counts() == {"scheduled": 2}
    assert queue.get_ready() == []


def test_a_chunk_for_a_time_is_due_then(queue: QueueUnderTest) -> None:
    due_at_ms = queue.server_ms() + 86_400_000
    chunk_id = queue.enqueue(due_at_ms=due_at_ms)
    assert queue.get_scheduled() == {f"{chunk_id}~000": due_at_ms}


def test_a_time_in_the_past_is_at_once(queue: QueueUnderTest) -> None:
    chunk_id = queue.enqueue(due_at_ms=1)
    assert queue.get_ready() == [f"{chunk_id}~000"]
    assert queue.counts() == {"queued": 1}


def test_a_delayed_chunk_sent_again_keeps_its_due_time(queue: QueueUnderTest) -> None:
    queue.enqueue(chunk_id="c", delay_ms=60_000)
    before = queue.stored()
    assert queue.try_enqueue(chunk_id="c", delay_ms=60_000) is Stored.EXISTING
    assert queue.stored() == before


def test_each_enqueue_leaves_a_hint_up_to_the_cap(queue: QueueUnderTest) -> None:
    for _ in range(70):
        queue.enqueue()
    assert queue.raw.llen(queue.keys.wake) == 64


def test_queues_do_not_see_each_other(make_queue: MakeQueue) -> None:
    one, other = make_queue("one"), make_queue("other")
    one.enqueue(chunk_id="c")
    other.enqueue(chunk_id="c", blob=pack(payload="x"))
    assert other.fetch(other.open(), 5).refs == ["c"]
    assert one.counts() == {"queued": 1}
    assert other.counts() == {"executing": 1}


def test_a_chunk_sent_again_after_all_its_jobs_left_it_exists(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(3)
    chunk_id = held.refs[0].partition("~")[0]
    queue.ack(held, (), [queue.outcome(chunk_id, index, "failed") for index in range(3)])
    assert queue.try_enqueue(3, chunk_id=chunk_id) is Stored.EXISTING
    assert queue.counts() == {"failed": 3}
