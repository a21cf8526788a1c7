"""The find script: where a job is, whatever became of it."""

from __future__ import annotations

import random

import pytest

from fastjobs.model.stored import packed_chunk
from tests.harness.queue import QueueUnderTest, pack


@pytest.mark.parametrize("n", [1, 3, 1000])
def test_a_queued_job_is_found_with_its_chunk(queue: QueueUnderTest, n: int) -> None:
    blob = pack(n)
    chunk_id = queue.enqueue(n, blob=blob)
    for index in {0, n // 2, n - 1}:
        found = queue.find(chunk_id, index)
        assert found is not None
        assert (found.status, found.due_at_ms, found.record) == ("queued", 0, b"")
        assert packed_chunk(found.chunk) == blob


@pytest.mark.parametrize("n", [1, 3, 1000])
def test_a_scheduled_job_is_found_with_its_due_time(queue: QueueUnderTest, n: int) -> None:
    due_at_ms = queue.server_ms() + 60_000
    chunk_id = queue.enqueue(n, due_at_ms=due_at_ms)
    for index in {0, n // 2, n - 1}:
        found = queue.find(chunk_id, index)
        assert found is not None
        assert (found.status, found.due_at_ms) == ("scheduled", due_at_ms)


@pytest.mark.parametrize("n", [1, 3])
def test_an_executing_job_is_found(queue: QueueUnderTest, n: int) -> None:
    held = queue.seed_executing(n)
    assert queue.status(held.refs[0].partition("~")[0], n - 1) == "executing"


@pytest.mark.parametrize("state", ["retrying", "failed", "cancelled"])
def test_a_detached_job_is_found_with_its_record(queue: QueueUnderTest, state: str) -> None:
    chunk_id = getattr(queue, f"seed_{state}")()
    found = queue.find(chunk_id, 0)
    assert found is not None
    assert (found.status, found.chunk) == (state, b"")
    assert found.record
    assert (found.due_at_ms > 0) == (state == "retrying")


def test_a_detached_job_is_followed_through_its_life(queue: QueueUnderTest) -> None:
    chunk_id = queue.seed_retrying()
    queue.seed_due()
    session = queue.open()
    queue.raw.hset(queue.keys.stats, "paused", 1)
    queue.fetch(session, 1)
    assert queue.status(chunk_id) == "queued"
    queue.raw.hdel(queue.keys.stats, "paused")
    held = queue.fetch(session, 1)
    assert queue.status(chunk_id) == "executing"
    queue.finish(held, keep_ms=60_000)
    assert queue.status(chunk_id) == "finished"


def test_unknown_jobs_are_not_found(queue: QueueUnderTest) -> None:
    chunk_id = queue.enqueue(3)
    assert queue.find("nothing") is None
    assert queue.find(chunk_id, 3) is None
    assert queue.find(chunk_id[:-1]) is None


def test_a_job_that_has_to_be_alone_is_not_found_in_a_larger_chunk(queue: QueueUnderTest) -> None:
    single, chunk_id = queue.enqueue(), queue.enqueue(2)
    assert queue.find(single, alone=True) is not None
    assert queue.find(chunk_id, alone=True) is None


def test_every_job_is_found_where_it_is_among_many(queue: QueueUnderTest) -> None:
    """Chunks of one priority, split in every way, with ids that are prefixes of each other."""
    rng = random.Random(7)
    ids = ["a", "ab", "a-", "A", "a.0", "b", "aa"]
    for chunk_id in ids:
        queue.enqueue(40, chunk_id=chunk_id, priority=rng.choice((0, 0, 5)))
    session = queue.open()
    for _ in range(12):
        held = queue.fetch(session, rng.randint(1, 30))
        parts = [f"{ref.partition('~')[0]}~{int(ref.partition('~')[2][:3]):03}+1" for ref in held.refs]
        queue.release(held, rng.choice((parts, held.refs)))
    waiting = set(queue.get_ready())
    for chunk_id in ids:
        for index in range(40):
            expected = "queued" if f"{chunk_id}~{index:03d}" in waiting else "executing"
            assert queue.status(chunk_id, index) == expected, f"{chunk_id}~{index:03d}"


def test_a_postponed_job_is_found_scheduled(queue: QueueUnderTest) -> None:
    held = queue.seed_executing()
    queue.postpone(held, 60_000)
    assert queue.status(held.refs[0]) == "scheduled"


def test_finding_writes_nothing(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(3)
    queue.seed_failed()
    before = queue.stored()
    queue.find(held.refs[0].partition("~")[0], 1)
    assert queue.stored() == before
