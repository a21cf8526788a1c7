"""The ack script: only the owner of a lease ends its jobs, each once; what did not simply finish becomes a record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from fastjobs.model.outcome import Outcome
from fastjobs.model.record import ErrorRecord, JobRecord
from fastjobs.model.refs import parse_ref
from fastjobs.model.stored import record_body
from fastjobs.worker.leases import HeldLease, HeldSpan
from tests.harness.queue import HEAD, QueueUnderTest, pack
from tests.harness.server import ServerProcess
from tests.store.conftest import MakeQueue


def test_a_finished_chunk_that_is_not_kept_leaves_only_counters_and_its_sender(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(3)
    assert queue.finish(held) == 3
    queue.close_session(held.session)
    assert set(queue.stored()) == {"senders", "stats"}
    assert queue.raw.hget(queue.keys.stats, "finished_total") == b"3"


def test_a_finished_chunk_that_is_kept_is_counted_and_found(queue: QueueUnderTest) -> None:
    chunk_id = queue.seed_finished(3)
    assert queue.counts() == {"finished": 3}
    found = queue.find(chunk_id, 2)
    assert found is not None
    assert (found.status, found.head, found.first_times, found.times) == ("finished", HEAD, b"\0" * 8, b"\2" * 8)


def test_the_same_ack_sent_again_changes_nothing(queue: QueueUnderTest) -> None:
    chunk_id = queue.enqueue(6)
    held = queue.fetch(queue.open(), 6)
    runs = [queue.run(chunk_id, 6, 0, 2, keep_ms=1000), queue.run(chunk_id, 6, 4, 1, keep_ms=1000)]
    outcomes = [queue.outcome(chunk_id, 2, "failed"), queue.outcome(chunk_id, 3, "retrying", delay_ms=60_000)]
    assert queue.ack(held, runs, outcomes) == 5
    before = queue.stored()
    assert queue.ack(held, runs, outcomes) == 0
    assert queue.stored() == before
    assert queue.counts() == {"finished": 3, "failed": 1, "retrying": 1, "executing": 1}


def test_an_ack_of_a_whole_lease_sent_again_changes_nothing(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(3)
    runs, outcomes = queue.finished(held, keep_ms=1000)
    assert queue.ack(held, runs, outcomes) == 3
    before = queue.stored()
    assert queue.ack(held, runs, outcomes) == 0
    assert queue.stored() == before


def test_an_ack_that_overlaps_an_earlier_one_takes_only_what_is_left(queue: QueueUnderTest) -> None:
    chunk_id = queue.enqueue(6)
    held = queue.fetch(queue.open(), 6)
    assert queue.ack(held, [queue.run(chunk_id, 6, 1, 2, keep_ms=1000)]) == 2
    assert queue.ack(held, [queue.run(chunk_id, 6, 0, 6, keep_ms=1000)]) == 4
    assert queue.counts() == {"finished": 6}
    found = queue.find(chunk_id, 4)
    assert found is not None and found.times == b"\4" * 8


def test_acks_in_parts_from_several_leases_end_the_chunk(queue: QueueUnderTest) -> None:
    chunk_id = queue.enqueue(9)
    one, other = queue.fetch(queue.open(), 4), queue.fetch(queue.open(), 5)
    for held, first in ((other, 8), (one, 1), (other, 4), (one, 3), (other, 6), (one, 0)):
        assert queue.ack(held, [queue.run(chunk_id, 9, first, 1)]) == 1
        queue.snapshot()
    assert queue.ack(one, [queue.run(chunk_id, 9, 2, 1)]) == 1
    assert queue.ack(other, [queue.run(chunk_id, 9, 5, 3)]) == 2
    assert queue.counts() == {}
    assert queue.size_of(chunk_id) == 0


def test_an_ack_after_reclaim_is_refused_and_changes_nothing(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(3)
    queue.seed_expired(held.session)
    assert queue.reclaim_all() == 3
    before = queue.stored()
    assert queue.finish(held) == -1
    assert queue.stored() == before
    assert queue.counts() == {"queued": 3}


def test_an_ack_of_jobs_that_others_hold_now_is_refused(queue: QueueUnderTest) -> None:
    late = queue.seed_executing(2)
    queue.seed_expired(late.session)
    queue.reclaim_all()
    owner = queue.fetch(queue.open(), 2)
    assert queue.finish(late) == -1
    assert queue.finish(owner) == 2


def test_a_fence_of_another_session_takes_nothing(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(2)
    thief = held._replace(session=queue.open())
    before = queue.stored()
    assert queue.finish(thief) == 0
    assert queue.stored() == before


def test_a_fence_that_never_was_takes_nothing(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(2)
    before = queue.stored()
    assert queue.finish(held._replace(lease=held.lease._replace(fence=held.fence + 1))) == 0
    assert queue.stored() == before


def test_jobs_that_are_not_in_the_lease_are_not_taken(queue: QueueUnderTest) -> None:
    chunk_id = queue.enqueue(10)
    other = queue.enqueue()
    held = queue.fetch(queue.open(), 4)
    outcomes = [queue.outcome(other, 0, "failed"), queue.outcome(chunk_id, 9, "failed")]
    before = queue.stored()
    assert queue.ack(held, [queue.run(chunk_id, 10, 4, 6)], outcomes) == 0
    assert queue.stored() == before


@pytest.mark.parametrize("n", [1, 3])
def test_a_failed_job_is_detached_with_its_record(queue: QueueUnderTest, n: int) -> None:
    held = queue.seed_executing(n)
    chunk_id = held.refs[0].partition("~")[0]
    outcome = queue.outcome(chunk_id, n - 1, "failed", type_name="mail")
    assert queue.ack(held, (), [outcome]) == 1
    assert queue.get_ended("failed") == [f"{chunk_id}~{n - 1:03d}"]
    found = queue.find(chunk_id, n - 1)
    assert found is not None and found.status == "failed"
    assert record_body(found.record) == outcome.record
    assert queue.raw.hget(queue.keys.stats, "failed:mail") == b"1"
    assert queue.counts() == {"failed": 1, **({"executing": n - 1} if n > 1 else {})}


def test_a_chunk_goes_when_all_its_jobs_have_left_it(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(3)
    chunk_id = held.refs[0].partition("~")[0]
    outcomes = [
        queue.outcome(chunk_id, index, state, delay_ms=60_000)
        for index, state in enumerate(("failed", "retrying", "cancelled"))
    ]
    assert queue.ack(held, (), outcomes) == 3
    assert queue.size_of(chunk_id) == 0
    assert queue.counts() == {"failed": 1, "retrying": 1, "cancelled": 1}


def test_a_retry_waits_for_its_time_and_keeps_its_priority(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(priority=5)
    before = queue.server_ms()
    queue.ack(held, (), [queue.outcome(held.refs[0], 0, "retrying", delay_ms=60_000, priority=5)])
    assert queue.counts() == {"retrying": 1}
    (due_at_ms,) = queue.get_scheduled().values()
    assert before + 60_000 <= due_at_ms <= queue.server_ms() + 60_000
    queue.enqueue(priority=4)
    queue.seed_due()
    (span,) = queue.fetch(held.session, 1).lease.spans
    assert (span.ref, span.priority) == (f"{held.refs[0]}~000", 5)


def test_a_retry_without_delay_stands_behind_its_equals(queue: QueueUnderTest) -> None:
    held = queue.seed_executing()
    other, low = queue.enqueue(), queue.enqueue(priority=-1)
    queue.ack(held, (), [queue.outcome(held.refs[0], 0, "retrying")])
    assert queue.get_ready() == [f"{other}~000", f"{held.refs[0]}~000", f"{low}~000"]
    assert queue.counts() == {"queued": 3}
    assert queue.raw.hget(queue.keys.stats, "retried_total") == b"1"


def test_a_job_put_back_for_later_is_scheduled_and_not_counted_as_a_retry(queue: QueueUnderTest) -> None:
    held = queue.seed_executing()
    queue.ack(held, (), [queue.outcome(held.refs[0], 0, "scheduled", delay_ms=60_000)])
    assert queue.counts() == {"scheduled": 1}
    assert queue.raw.hget(queue.keys.stats, "retried_total") is None


@pytest.mark.parametrize("state", ["retrying", "failed", "cancelled", "finished", "scheduled"])
def test_a_detached_job_can_end_in_every_way(queue: QueueUnderTest, state: str) -> None:
    chunk_id = queue.seed_retrying()
    queue.seed_due()
    held = queue.fetch(queue.open(), 1)
    outcome = queue.outcome(held.refs[0], 0, state, n=0, delay_ms=60_000, keep_ms=60_000)
    assert queue.ack(held, (), [outcome]) == 1
    assert queue.counts() == {state: 1}
    before = queue.stored()
    assert queue.ack(held, (), [outcome]) == 0
    assert queue.stored() == before
    assert queue.status(chunk_id) == state


def test_a_detached_job_that_finished_and_is_not_kept_leaves_nothing(queue: QueueUnderTest) -> None:
    queue.seed_retrying()
    queue.seed_due()
    held = queue.fetch(queue.open(), 1)
    assert queue.finish(held) == 1
    queue.close_session(held.session)
    assert set(queue.stored()) == {"senders", "stats"}


def test_a_job_that_is_to_be_cancelled_is_not_retried(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(2)
    chunk_id = held.refs[0].partition("~")[0]
    job = queue.seed_cancelling(held, 1)
    queue.ack(held, (), [queue.outcome(chunk_id, 1, "retrying", delay_ms=60_000)])
    assert queue.get_ended("cancelled") == [job]
    assert queue.counts() == {"cancelled": 1, "executing": 1}


@pytest.mark.parametrize("state", ["finished", "failed"])
def test_a_job_that_was_to_be_cancelled_and_ended_before_ends_as_it_did(queue: QueueUnderTest, state: str) -> None:
    held = queue.seed_executing(2)
    chunk_id = held.refs[0].partition("~")[0]
    queue.seed_cancelling(held, 1)
    if state == "finished":
        queue.ack(held, [queue.run(chunk_id, 2, 0, 2, keep_ms=1000)])
        assert queue.counts() == {"finished": 2}
    else:
        queue.ack(held, (), [queue.outcome(chunk_id, 1, "failed")])
        assert queue.counts() == {"failed": 1, "executing": 1}
    assert queue.raw.zcard(queue.keys.cancelling) == 0


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_ended_jobs_beyond_the_number_kept_are_trimmed_oldest_first(make_queue: MakeQueue, state: str) -> None:
    queue = make_queue(failed_keep=3)
    held = queue.seed_executing(8)
    chunk_id = held.refs[0].partition("~")[0]
    for index in range(8):
        queue.ack(held, (), [queue.outcome(chunk_id, index, state)])
        assert queue.counts()[state] == min(index + 1, 3)
        queue.snapshot()
    assert queue.get_ended(state) == [f"{chunk_id}~{index:03d}" for index in (5, 6, 7)]
    assert queue.find(chunk_id, 0) is None


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_ended_jobs_beyond_the_age_kept_are_trimmed(make_queue: MakeQueue, state: str) -> None:
    queue = make_queue(failed_keep_s=3600)
    old = queue.seed_failed() if state == "failed" else queue.seed_cancelled()
    queue.raw.zadd(getattr(queue.keys, state), {f"{old}~000": queue.server_ms() - 3_600_001})
    queue.finish(queue.seed_executing())
    assert queue.counts() == {}
    assert queue.find(old, 0) is None


def test_one_ack_trims_a_bounded_number(make_queue: MakeQueue) -> None:
    queue = make_queue(failed_keep_s=3600)
    held = queue.seed_executing(20)
    chunk_id = held.refs[0].partition("~")[0]
    queue.ack(held, (), [queue.outcome(chunk_id, index, "failed") for index in range(20)])
    for ref in queue.get_ended("failed"):
        queue.raw.zadd(queue.keys.failed, {ref: 1})
    queue.finish(queue.seed_executing())
    assert 0 < queue.counts()["failed"] < 20


def test_history_is_trimmed_by_the_number_of_jobs_kept(make_queue: MakeQueue) -> None:
    queue = make_queue(finished_keep=10)
    ids = [queue.seed_finished(4) for _ in range(6)]
    # Whole chunks go, as long as the number asked for remains.
    assert queue.counts() == {"finished": 12}
    assert [queue.status(chunk_id) for chunk_id in ids] == [None] * 3 + ["finished"] * 3


def test_history_is_trimmed_by_age(queue: QueueUnderTest) -> None:
    old = queue.seed_finished(3)
    queue.raw.zadd(queue.keys.finished_log, {f"3 {old}": queue.server_ms() - 1})
    young = queue.seed_finished(2)
    assert queue.counts() == {"finished": 2}
    assert (queue.status(old), queue.status(young)) == (None, "finished")


def test_a_finished_record_is_trimmed_like_a_chunk(make_queue: MakeQueue) -> None:
    queue = make_queue(finished_keep=1)
    chunk_id = queue.seed_retrying()
    queue.seed_due()
    held = queue.fetch(queue.open(), 1)
    queue.finish(held, keep_ms=3_600_000)
    assert queue.status(chunk_id) == "finished"
    queue.seed_finished()
    assert queue.counts() == {"finished": 1}
    assert queue.find(chunk_id, 0) is None


@pytest.mark.parametrize("keeps", [(0, 5000), (5000, 0), (0, 0), (5000, 9000)])
def test_a_chunk_acked_with_different_retentions_is_counted_as_it_is_kept(
    queue: QueueUnderTest, keeps: tuple[int, int]
) -> None:
    chunk_id = queue.enqueue(4)
    held = queue.fetch(queue.open(), 4)
    for first, keep_ms in zip((0, 2), keeps, strict=True):
        queue.ack(held, [queue.run(chunk_id, 4, first, 2, keep_ms=keep_ms)])
        queue.snapshot()
    assert queue.counts() == ({"finished": 4} if any(keeps) else {})
    queue.raw.zadd(queue.keys.finished_log, {f"4 {chunk_id}": 1}, xx=True)
    queue.finish(queue.fetch(held.session, 1) if queue.enqueue() else held)
    assert queue.counts() == {}


def test_a_corrupt_chunks_job_fails_and_its_bytes_stay(queue: QueueUnderTest) -> None:
    queue.enqueue(2, chunk_id="c", blob=b"garbage" + pack(2))
    held = queue.fetch(queue.open(), 2)
    outcomes = [queue.outcome("c", index, "failed", n=0) for index in range(2)]
    assert queue.ack(held, (), outcomes) == 2
    assert queue.counts() == {"failed": 2}
    assert queue.status("c", 1) == "failed"
    assert queue.raw.hexists(queue.keys.chunks, "c")


def test_an_ack_of_nothing_is_harmless(queue: QueueUnderTest) -> None:
    held = queue.seed_executing()
    before = queue.stored()
    assert queue.ack(held) == 0
    assert queue.stored() == before


def logged_bytes(queue: QueueUnderTest) -> int:
    return int(queue.raw.info("persistence")["aof_current_size"])


def test_what_an_ack_writes_does_not_grow_with_what_its_chunk_has(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(600)
    chunk_id = parse_ref(held.refs[0]).chunk_id
    written = []
    for index in range(500):
        before = logged_bytes(queue)
        assert queue.ack(held, [queue.run(chunk_id, 600, index, 1, keep_ms=60_000)]) == 1
        written.append(logged_bytes(queue) - before)
    assert sum(written[-50:]) < 1.1 * sum(written[:50])
    assert sum(written[-50:]) / 50 < 800
    assert queue.status(chunk_id, 499) == "finished"
    assert queue.status(chunk_id, 500) == "executing"
    assert queue.ack(held, [queue.run(chunk_id, 600, 500, 100, keep_ms=60_000)]) == 100
    assert queue.raw.zcard(queue.keys.finishing) == 0
    found = queue.find(chunk_id, 321)
    assert found is not None
    assert (found.status, found.times) == ("finished", bytes((321 & 0xFF,)) * 8)


@pytest.mark.parametrize(
    ("indexes", "detached"),
    [
        (range(300), "0-299"),
        (range(299, -1, -1), "0-299"),
        ([5, 3, 4, 10, 0, 12, 11], "0,3-5,10-12"),
        (range(0, 12, 2), "0,2,4,6,8,10"),
    ],
)
def test_neighbours_that_left_their_chunk_take_one_entry_of_its_marks(
    queue: QueueUnderTest, indexes: Sequence[int], detached: str
) -> None:
    held = queue.seed_executing(400)
    chunk_id = parse_ref(held.refs[0]).chunk_id
    for index in indexes:
        assert queue.ack(held, (), [queue.outcome(chunk_id, index, "failed")]) == 1
    assert queue.raw.hget(queue.keys.marks, chunk_id).decode().split(" ")[4] == detached
    assert Counter(queue.status(chunk_id, index) for index in range(15)) == Counter(
        "failed" if index in indexes else "executing" for index in range(15)
    )


def test_at_a_full_server_failures_store_why_they_failed_and_little_more(namespace: str) -> None:
    """Fault B14."""
    with ServerProcess("--maxmemory-policy", "noeviction") as server:
        queue = QueueUnderTest(server.url, namespace)
        held = queue.seed_executing(4)
        chunk_id = parse_ref(held.refs[0]).chunk_id
        span = HeldSpan(HeldLease(queue.name, held.fence, 0, 4), chunk_id, 4, 0, 4, 0)
        queue.raw.config_set("maxmemory", 1)
        assert queue.ack(held, (), [failed(span, 0), failed(span, 1)]) == 2
        queue.raw.config_set("maxmemory", 0)
        assert queue.ack(held, (), [failed(span, 2)]) == 1
        stored = [queue.raw.hget(queue.keys.jobs, f"{chunk_id}~{index:03d}") for index in range(3)]
        assert [len(record) < 700 for record in stored] == [True, True, False]
        short, full = (JobRecord.decode(record_body(record)) for record in stored[1:])
        assert (short.type, short.payload, short.attempts, full.attempts) == ("work", [1, {}], 2, 2)
        assert [(error.type, error.message) for error in short.errors] == [("ValueError", "no " + "x" * 197)]
        assert short.errors[0].traceback == "(left out: the server was out of memory)"
        assert [len(error.message) for error in full.errors] == [303, 303]
        queue.raw.config_set("maxmemory", 1)
        assert queue.ack(held, [queue.run(chunk_id, 4, 3, 1)]) == 1
        queue.snapshot()
        queue.close()


def failed(span: HeldSpan, index: int) -> Outcome:
    """What a worker reports of a job that raised twice."""
    record = JobRecord(id=span.job_id(index), type="work", payload=[index, {}], attempts=2)
    for _ in range(2):
        record.add_error(ErrorRecord(type="ValueError", message="no " + "x" * 300, traceback="T" * 2_000))
    return span.outcome(index, "failed", record)
