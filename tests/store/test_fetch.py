"""The fetch script: priority descending, then first in first out; a job is in one lease at a time."""

from __future__ import annotations

import pytest

from fastjobs._core import ChunkWriter
from tests.harness.queue import QueueUnderTest, origin, pack, payloads
from tests.harness.waiting import wait_until
from tests.store.conftest import MakeQueue


def compressed(size: int) -> bytes:
    """A chunk of one job whose body takes that many bytes at least, unpacked."""
    writer = ChunkWriter(2 * size)
    writer.add(writer.entry("work"), ("x" * size,))
    return writer.finish(0)


def test_a_lease_holds_what_was_asked_for_with_its_payload(queue: QueueUnderTest) -> None:
    chunk_id = queue.enqueue(3, priority=7)
    held = queue.fetch(queue.open(), 3)
    (span,) = held.lease.spans
    assert span.ref == f"{chunk_id}~000+3"
    assert (span.priority, span.redeliveries) == (7, 0)
    assert payloads(held.lease) == [[0, {}], [1, {}], [2, {}]]
    assert queue.counts() == {"executing": 3}


def test_an_empty_queue_gives_no_lease(queue: QueueUnderTest) -> None:
    held = queue.fetch(queue.open(), 5)
    assert (held.fence, held.lease.spans, held.lease.next_due_ms) == (0, [], -1)


def test_a_session_that_was_never_opened_is_fenced(queue: QueueUnderTest) -> None:
    queue.enqueue()
    before = queue.stored()
    assert queue.fetch("nobody", 1).fence == -1
    assert queue.stored() == before


def test_the_same_request_returns_the_same_lease_and_changes_nothing(queue: QueueUnderTest) -> None:
    queue.enqueue(5)
    queue.enqueue()
    session = queue.open()
    held = queue.fetch(session, 3, request=9)
    before = queue.stored()
    again = queue.fetch(session, 3, request=9)
    assert queue.stored() == before
    assert (again.fence, again.lease.spans) == (held.fence, held.lease.spans)


def test_a_repeated_request_returns_what_is_left_of_its_lease(queue: QueueUnderTest) -> None:
    chunk_id = queue.enqueue(4)
    session = queue.open()
    held = queue.fetch(session, 4, request=1)
    queue.ack(held, [queue.run(chunk_id, 4, 0, 2)])
    assert queue.fetch(session, 4, request=1).refs == [f"{chunk_id}~002+2"]


def test_the_next_request_returns_other_jobs_under_another_fence(queue: QueueUnderTest) -> None:
    queue.enqueue(4)
    session = queue.open()
    first, second = queue.fetch(session, 2), queue.fetch(session, 2)
    assert second.fence > first.fence
    assert not set(first.refs) & set(second.refs)


def test_two_sessions_never_get_the_same_job(queue: QueueUnderTest) -> None:
    chunk_id = queue.enqueue(10)
    one, other = queue.fetch(queue.open(), 4), queue.fetch(queue.open(), 6)
    assert one.refs == [f"{chunk_id}~000+4"]
    assert other.refs == [f"{chunk_id}~004+6"]


def test_a_span_is_split_at_what_was_asked_for(queue: QueueUnderTest) -> None:
    chunk_id = queue.enqueue(100)
    held = queue.fetch(queue.open(), 10)
    assert held.refs == [f"{chunk_id}~000+10"]
    assert queue.counts() == {"queued": 90, "executing": 10}
    assert queue.get_ready()[0] == f"{chunk_id}~010"


def test_a_rest_of_at_most_a_quarter_is_not_split_off(queue: QueueUnderTest) -> None:
    chunk_id = queue.enqueue(10)
    assert queue.fetch(queue.open(), 8).refs == [f"{chunk_id}~000+10"]


def test_a_want_of_one_takes_exactly_one(queue: QueueUnderTest) -> None:
    chunk_id = queue.enqueue(2)
    assert queue.fetch(queue.open(), 1).refs == [f"{chunk_id}~000+1"]


def test_a_split_chunk_keeps_its_place(queue: QueueUnderTest) -> None:
    first, second = queue.enqueue(3), queue.enqueue(3)
    session = queue.open()
    assert queue.fetch(session, 1).refs == [f"{first}~000+1"]
    assert queue.fetch(session, 5).refs == [f"{first}~001+2", f"{second}~000+3"]


def test_more_spans_than_a_page_come_in_order(queue: QueueUnderTest) -> None:
    ids = [queue.enqueue() for _ in range(40)]
    assert queue.fetch(queue.open(), 40).refs == ids


def test_a_lease_holds_a_bounded_number_of_refs(queue: QueueUnderTest) -> None:
    batch = queue.store.batch()
    for index in range(300):
        batch.enqueue(queue.name, f"c{index}", 1, 0, pack(), origin())
    batch.run()
    assert len(queue.fetch(queue.open(), 2000).refs) == 256


def test_a_lease_stops_when_its_payload_is_large(queue: QueueUnderTest) -> None:
    blob = pack(payload="x" * 900_000)
    ids = [queue.enqueue(blob=blob) for _ in range(6)]
    held = queue.fetch(queue.open(), 10)
    assert held.refs == ids[:5]


@pytest.mark.parametrize("settings", [{}, {"encryption_keys": {"k": "A" * 43 + "="}}])
def test_a_lease_is_bounded_by_the_memory_that_it_takes_unpacked(make_queue: MakeQueue, settings) -> None:
    """Fault C27."""
    queue = make_queue(**settings)
    ids = [queue.enqueue(blob=compressed(1 << 20)) for _ in range(6)]
    assert queue.raw.hstrlen(queue.keys.chunks, ids[0]) < 5000
    assert queue.fetch(queue.open(), 10).refs == ids[:4]


def test_a_header_that_cannot_be_true_bounds_the_lease_and_no_more(queue: QueueUnderTest) -> None:
    ids = [queue.enqueue() for _ in range(3)]
    packed = pack()
    for chunk_id, header in zip(ids, [packed[:16] + b"\xff" * 4, packed[:18]], strict=False):
        stored = queue.raw.hget(queue.keys.chunks, chunk_id)
        queue.raw.hset(queue.keys.chunks, chunk_id, stored[: -len(packed)] + header)
    session = queue.open()
    assert queue.fetch(session, 10).refs == ids[:1]
    assert queue.fetch(session, 10).refs == ids[1:]


def test_the_payload_of_a_chunk_the_process_holds_is_not_sent_again(queue: QueueUnderTest) -> None:
    chunk_id = queue.enqueue(4)
    session = queue.open()
    queue.fetch(session, 2)
    held = queue.fetch(session, 2, held=[chunk_id])
    assert [span.payload for span in held.lease.spans] == [b""]


def test_a_missing_payload_is_told(queue: QueueUnderTest) -> None:
    chunk_id = queue.enqueue()
    stored = queue.raw.hget(queue.keys.chunks, chunk_id)
    queue.raw.hdel(queue.keys.chunks, chunk_id)
    held = queue.fetch(queue.open(), 1)
    assert [span.payload for span in held.lease.spans] == [None]
    queue.raw.hset(queue.keys.chunks, chunk_id, stored)


def test_due_jobs_come_by_priority_and_then_by_due_time(queue: QueueUnderTest) -> None:
    late = queue.enqueue(due_at_ms=queue.server_ms() + 60_000)
    soon = queue.enqueue(due_at_ms=queue.server_ms() + 30_000)
    high = queue.enqueue(due_at_ms=queue.server_ms() + 90_000, priority=1)
    queue.seed_due()
    held = queue.fetch(queue.open(), 3)
    assert held.refs == [high, soon, late]
    assert queue.counts() == {"executing": 3}


def test_nothing_starts_before_its_time(queue: QueueUnderTest) -> None:
    queue.enqueue(delay_ms=60_000)
    held = queue.fetch(queue.open(), 1)
    assert held.fence == 0
    assert 59_000 < held.lease.next_due_ms <= 60_000


def test_a_delayed_job_starts_when_its_time_has_come(queue: QueueUnderTest) -> None:
    chunk_id = queue.enqueue(delay_ms=100)
    session = queue.open()
    wait_until(lambda: queue.fetch(session, 1).refs == [chunk_id], 10, "the job is due")


def test_a_crowd_due_at_once_is_let_in_step_by_step(queue: QueueUnderTest) -> None:
    batch = queue.store.batch()
    for index in range(300):
        batch.enqueue(queue.name, f"c{index:03}", 1, 0, pack(), origin(), delay_ms=60_000 + index)
    batch.run()
    queue.seed_due()
    session = queue.open()
    queue.fetch(session, 1)
    assert queue.counts() == {"scheduled": 44, "queued": 255, "executing": 1}
    queue.fetch(session, 1)
    assert queue.counts() == {"queued": 298, "executing": 2}


def test_a_paused_queue_has_nothing_to_do_and_its_due_jobs_are_queued(queue: QueueUnderTest) -> None:
    queue.enqueue()
    queue.seed_scheduled()
    queue.seed_due()
    queue.raw.hset(queue.keys.stats, "paused", 1)
    session = queue.open()
    assert queue.fetch(session, 2).fence == 0
    assert queue.counts() == {"queued": 2}
    queue.raw.hdel(queue.keys.stats, "paused")
    assert len(queue.fetch(session, 2).refs) == 2


def test_a_fetch_that_leaves_jobs_leaves_a_hint_and_one_that_empties_the_queue_none(queue: QueueUnderTest) -> None:
    queue.enqueue(2)
    session = queue.open()
    queue.fetch(session, 1)
    assert queue.raw.llen(queue.keys.wake) == 1
    queue.fetch(session, 1)
    assert queue.raw.llen(queue.keys.wake) == 0


def test_a_session_past_its_deadline_may_fetch_until_it_is_reclaimed(queue: QueueUnderTest) -> None:
    queue.enqueue(2)
    session = queue.open()
    queue.seed_expired(session)
    held = queue.fetch(session, 1)
    assert held.fence > 0
    assert queue.reclaim_all() == 1
    assert queue.fetch(session, 1).fence == -1


def test_a_detached_job_comes_with_its_record(queue: QueueUnderTest) -> None:
    chunk_id = queue.seed_retrying()
    queue.seed_due()
    held = queue.fetch(queue.open(), 1)
    (span,) = held.lease.spans
    assert span.ref == f"{chunk_id}~000"
    assert span.payload == queue.outcome(chunk_id, 0, "retrying").record
    assert queue.counts() == {"executing": 1}


@pytest.mark.parametrize("want", [1, 3, 7, 2000])
def test_draining_gives_each_job_once_and_leaves_nothing(make_queue: MakeQueue, want: int) -> None:
    queue = make_queue(finished_keep=0)
    ids = [queue.enqueue(n) for n in (1, 10, 3, 1, 7)]
    jobs = [f"{chunk_id}~{index:03d}" for chunk_id, n in zip(ids, (1, 10, 3, 1, 7), strict=True) for index in range(n)]
    session = queue.open()
    assert queue.drain(session, want) == jobs
    queue.close_session(session)
    assert set(queue.stored()) <= {"senders", "stats"}


@pytest.mark.parametrize(
    "foreign", [b"", b"not a member", b"6610e407aa21c\xff\xfe", b"6610e407aa21c two words", b"6610e407aa21c"]
)
def test_what_somebody_else_put_in_line_is_passed_over(queue: QueueUnderTest, foreign: bytes) -> None:
    queue.seed_scheduled(chunk_id="a")
    queue.seed_due()
    queue.seed_queued(chunk_id="b")
    queue.raw.zadd(queue.keys.ready, {foreign: -1000})
    queue.raw.zadd(queue.keys.scheduled, {foreign: 1, b"s0," + foreign: 2})
    session = queue.open()
    assert {*queue.fetch(session, 5).refs} == {"a", "b"}
    nothing = queue.fetch(session, 5).lease
    assert (nothing.fence, nothing.next_due_ms) == (0, -1), "the worker does not look for it all the time"
    queue.raw.zrem(queue.keys.ready, foreign)
    queue.raw.zrem(queue.keys.scheduled, foreign, b"s0," + foreign)


def test_a_heap_of_what_is_no_member_does_not_hold_the_server(queue: QueueUnderTest) -> None:
    heap = {f"foreign {number}": -1000 for number in range(3000)}
    queue.seed_queued()
    queue.raw.zadd(queue.keys.ready, heap)
    assert not queue.fetch(queue.open(), 1).fence
    queue.raw.zrem(queue.keys.ready, *heap)
    assert queue.fetch(queue.open(), 1).fence
