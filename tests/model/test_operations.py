"""Random interleavings of everything that can happen to jobs of a queue, against the model, on a real server."""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fastjobs._core import ChunkWriter, new_id
from fastjobs.config import Config
from fastjobs.connection import Client
from fastjobs.errors import JobNotFound
from fastjobs.job import Status, job_id
from fastjobs.listing import Listing
from fastjobs.operations import RESCHEDULABLE, Operations
from fastjobs.record import ErrorRecord, JobRecord
from fastjobs.store import Batch, Lease, Outcome, Run, Store, Stored
from tests.harness.server import ServerProcess
from tests.model.clock import TestClock, timed_scripts
from tests.model.model import ENDED, LEASE_MS, WAITING, ModelJob, ModelQueue

pytestmark = pytest.mark.timeout(0)

QUEUE = "q"
TYPES = ("alpha", "beta")
#: Steps of one run, and runs; `make model` sets more.
STEPS = int(os.environ.get("FASTJOBS_MODEL_STEPS", "40"))
RUNS = int(os.environ.get("FASTJOBS_MODEL_RUNS", "25"))

counts = st.integers(1, 12)
priorities = st.integers(-2, 2)
delays = st.sampled_from((0, 0, 0, 1, 100, 700, 5_000))
picks = st.integers(0, 10_000)


@pytest.fixture(scope="module", autouse=True)
def _test_build(server: ServerProcess):
    QueueMachine.server = server
    with timed_scripts():
        yield


class QueueMachine(RuleBasedStateMachine):
    """One queue, several sessions, one clock."""

    server: ServerProcess

    def __init__(self) -> None:
        super().__init__()
        config = Config(namespace=new_id(), lease_ms=LEASE_MS, finished_keep=1_000_000, finished_keep_s=1e7)
        self.redis = self.server.client()
        self.store = Store(Client(self.server.url), config)
        prefix = self.store.keys(QUEUE).chunks.removesuffix(b"chunks")
        self.clock = TestClock(self.redis, prefix)
        self.model = ModelQueue(self.clock.now_ms)
        self.operations = Operations(self.store, QUEUE)
        self.requests: Counter[str] = Counter()
        #: Leases that were given out: (session, fence) -> spans.
        self.leases: dict[tuple[str, int], Lease] = {}
        #: n of each chunk.
        self.sizes: dict[str, int] = {}
        #: Jobs that are gone for good.
        self.gone: set[str] = set()
        #: Calls that can be sent again at any later time and must then change nothing.
        self.sent: list[Callable[[Batch], Batch]] = []

    def teardown(self) -> None:
        self.store.client.close()
        self.redis.close()

    # Helpers.

    def call(self, add: Callable[[Batch], Batch], *, replay: bool = False) -> Any:
        (result,) = add(self.store.batch()).run()
        if replay:
            before = self.snapshot()
            add(self.store.batch()).run()
            assert self.snapshot() == before
            self.sent.append(add)
        return result

    def snapshot(self) -> Any:
        """What a replay must not change: all keys but the clocks of the heartbeat."""
        keys = self.store.keys(QUEUE)
        stats = self.redis.hgetall(keys.stats)
        hashes = [self.redis.hgetall(key) for key in (keys.chunks, keys.jobs, keys.marks, keys.leases, keys.finished)]
        sets = (keys.ready, keys.scheduled, keys.failed, keys.cancelled, keys.cancelling, keys.finished_log)
        counters = {name: number for name, number in stats.items() if name not in (b"tick", b"grace_until")}
        return hashes, [self.redis.zrange(key, 0, -1, withscores=True) for key in sets], counters

    def pick(self, number: int, jobs: list[ModelJob]) -> ModelJob | None:
        return jobs[number % len(jobs)] if jobs else None

    def expect(self, job: ModelJob, operation: Callable[[], Any], allowed: bool) -> Any:
        """Acts on a job and compares whether it was refused."""
        before = self.snapshot()
        try:
            answer = operation()
        except JobNotFound:
            raise AssertionError(f"{job.id} is not found, it should be {job.status}") from None
        except Exception as error:
            assert not allowed, error
            assert self.snapshot() == before
            return None
        assert allowed, f"{answer} although {job.status}"
        return answer

    # What producers do.

    @initialize()
    def open_first(self) -> None:
        self.open_session()

    @rule(n=counts, priority=priorities, delay_ms=delays, mixed=st.booleans())
    def enqueue(self, n: int, priority: int, delay_ms: int, mixed: bool) -> None:
        writer = ChunkWriter()
        types = []
        for number in range(n):
            name = TYPES[number % 2] if mixed else TYPES[0]
            types.append(name)
            writer.add(writer.entry(name), (number,))
        chunk_id, blob = new_id(), writer.finish(self.clock.now_ms)
        self.sizes[chunk_id] = n

        def add(batch: Batch) -> Batch:
            return batch.enqueue(QUEUE, chunk_id, n, priority, blob, delay_ms=delay_ms)

        (created,) = add(self.store.batch()).run()
        before = self.snapshot()
        (existing,) = add(self.store.batch()).run()
        assert (created, existing) == (Stored.CREATED, Stored.EXISTING)
        assert self.snapshot() == before
        jobs = [ModelJob(job_id(chunk_id, at, n), types[at], priority, 0, "queued") for at in range(n)]
        self.model.put_in_line(jobs, delay_ms)
        self.model.jobs.update({job.id: job for job in jobs})

    # What workers do.

    @rule()
    def open_session(self) -> None:
        session = new_id()
        assert self.call(lambda batch: batch.open(QUEUE, session))
        self.model.tick()
        self.model.sessions[session] = self.clock.now_ms + LEASE_MS

    @precondition(lambda self: self.model.sessions)
    @rule(number=picks, want=st.integers(1, 20))
    def fetch(self, number: int, want: int) -> None:
        session = sorted(self.model.sessions)[number % len(self.model.sessions)]
        self.requests[session] += 1
        request = self.requests[session]
        lease: Lease = self.call(lambda batch: batch.fetch(QUEUE, session, request, want))
        self.model.tick()
        self.model.promote()
        queued = self.model.in_status("queued")
        if not queued:
            assert lease.fence == 0
            return
        taken = [self.model.jobs[name] for name in self.names(lease)]
        assert all(job.status == "queued" for job in taken)
        assert 1 <= len(taken) <= want + want // 4
        assert len(taken) >= min(want, len(queued))
        places = [job.place for job in taken]
        assert places == sorted(places)
        for job in taken:
            job.status, job.lease = "executing", (session, lease.fence)
        left = [job.place for job in self.model.in_status("queued")]
        assert not left or places[-1] <= min(left)
        self.leases[session, lease.fence] = lease
        before = self.snapshot()
        (again,) = self.store.batch().fetch(QUEUE, session, request, want).run()
        assert (again.fence, [span.ref for span in again.spans]) == (lease.fence, [span.ref for span in lease.spans])
        assert self.snapshot() == before
        self.sent.append(lambda batch: batch.fetch(QUEUE, session, request, want))

    def names(self, lease: Lease) -> list[str]:
        """Ids of the jobs of a lease, in order."""
        names = []
        for span in lease.spans:
            chunk_id, first, count = self.parts(span.ref)
            names += [job_id(chunk_id, at, self.sizes[chunk_id]) for at in range(first, first + count)]
        return names

    @staticmethod
    def parts(ref: str) -> tuple[str, int, int]:
        chunk_id, _, rest = ref.partition("~")
        first, plus, count = rest.partition("+")
        return chunk_id, int(first or 0), int(count) if plus else 1

    @precondition(lambda self: self.leases)
    @rule(number=picks, part=st.integers(0, 20), length=st.integers(1, 20))
    def finish(self, number: int, part: int, length: int) -> None:
        """Acks a run of finished jobs of a span, which may have been settled before."""
        (session, fence), lease = sorted(self.leases.items())[number % len(self.leases)]
        span = lease.spans[part % len(lease.spans)]
        chunk_id, first, count = self.parts(span.ref)
        n = self.sizes[chunk_id]
        first, count = first + part % count, min(length, count - part % count)
        chosen = [self.model.jobs.get(job_id(chunk_id, at, n)) for at in range(first, first + count)]
        done = [job for job in chosen if job is not None and job.lease == (session, fence)]
        if "~" in span.ref and "+" not in span.ref:
            record = JobRecord(
                id=job_id(chunk_id, first, n), type=TYPES[0], payload=[first, {}], priority=span.priority
            )
            outcome = Outcome(span.ref, 0, first, "finished", 0, span.priority, 60_000, record.type, record.encode())
            add = lambda batch: batch.ack(QUEUE, session, fence, [], [outcome])  # noqa: E731
        else:
            head = struct.pack("<Q", self.clock.now_ms * 1000) + b"\x01w"
            run = Run(chunk_id, n, first, count, head, struct.pack("<ff", 0, 0) * count, 60_000)
            add = lambda batch: batch.ack(QUEUE, session, fence, [run])  # noqa: E731
        taken = self.call(add, replay=True)
        if session not in self.model.sessions:
            assert taken == -1
            return
        assert taken == len(done)
        for job in done:
            self.model.end(job, "finished")

    @precondition(lambda self: self.leases)
    @rule(number=picks, part=picks, state=st.sampled_from(("retrying", "failed", "scheduled")), delay_ms=delays)
    def raise_in_handler(self, number: int, part: int, state: str, delay_ms: int) -> None:
        (session, fence), lease = sorted(self.leases.items())[number % len(self.leases)]
        span = lease.spans[part % len(lease.spans)]
        chunk_id, first, count = self.parts(span.ref)
        n, at = self.sizes[chunk_id], first + part % count
        job = self.model.jobs.get(job_id(chunk_id, at, n))
        mine = job is not None and job.lease == (session, fence)
        name = job.type if job else TYPES[0]
        record = JobRecord(id=job_id(chunk_id, at, n), type=name, payload=[at, {}], priority=span.priority)
        record.add_error(ErrorRecord(type="ValueError", message="no"))
        detached = "~" in span.ref and "+" not in span.ref
        ref = span.ref if detached else chunk_id
        outcome = Outcome(ref, 0 if detached else n, at, state, delay_ms, span.priority, 0, name, record.encode())
        taken = self.call(lambda batch: batch.ack(QUEUE, session, fence, [], [outcome]), replay=True)
        if session not in self.model.sessions:
            assert taken == -1
            return
        assert taken == int(mine)
        if mine:
            assert job is not None
            if state == "failed":
                self.model.end(job, "failed")
            elif job.cancelling:
                self.model.end(job, "cancelled")
            else:
                self.model.put_in_line([job], delay_ms, state)

    @precondition(lambda self: self.leases)
    @rule(number=picks, part=picks)
    def release(self, number: int, part: int) -> None:
        (session, fence), lease = sorted(self.leases.items())[number % len(self.leases)]
        span = lease.spans[part % len(lease.spans)]
        chunk_id, first, count = self.parts(span.ref)
        n = self.sizes[chunk_id]
        ref = span.ref
        if "+" in ref:
            first, count = first + part % count, count - part % count
            ref = f"{chunk_id}~{first:03d}+{count}"
        chosen = [self.model.jobs.get(job_id(chunk_id, at, n)) for at in range(first, first + count)]
        mine = [job for job in chosen if job is not None and job.lease == (session, fence)]
        taken = self.call(lambda batch: batch.release(QUEUE, session, fence, [ref]), replay=True)
        assert taken == (len(mine) if session in self.model.sessions else -1)
        if taken > 0:
            self.model.give_back(mine)

    @precondition(lambda self: self.model.sessions)
    @rule(number=picks)
    def renew(self, number: int) -> None:
        session = sorted(self.model.sessions)[number % len(self.model.sessions)]
        renewed = self.call(lambda batch: batch.renew(QUEUE, [session, "nobody"]))
        self.model.tick()
        assert renewed.alive == [True, False]
        cancelling = {job.id for job in self.model.jobs.values() if job.cancelling}
        assert {self.public(ref) for ref in renewed.cancelling} == cancelling
        self.model.sessions[session] = self.clock.now_ms + LEASE_MS

    def public(self, ref: str) -> str:
        chunk_id, at, _ = self.parts(ref)
        return job_id(chunk_id, at, self.sizes[chunk_id])

    @rule()
    def reclaim(self) -> None:
        step = self.call(lambda batch: batch.reclaim(QUEUE))
        self.model.tick()
        expired = self.model.expired()
        if expired is None or self.clock.now_ms < self.model.grace_until_ms:
            assert step.sessions == 0
            return
        assert step.sessions == 1
        del self.model.sessions[expired]
        self.model.give_back(self.model.leased(expired))

    @precondition(lambda self: self.model.sessions)
    @rule(number=picks)
    def close(self, number: int) -> None:
        session = sorted(self.model.sessions)[number % len(self.model.sessions)]
        _, closed = self.call(lambda batch: batch.close(QUEUE, session), replay=True)
        assert closed
        del self.model.sessions[session]
        self.model.give_back(self.model.leased(session))

    @precondition(lambda self: self.leases)
    @rule(number=picks)
    def audit(self, number: int) -> None:
        """A session that knows only one of its leases."""
        session, fence = sorted(self.leases)[number % len(self.leases)]
        if session not in self.model.sessions:
            return
        request = self.requests[session]
        self.call(lambda batch: batch.audit(QUEUE, session, request, [fence]), replay=True)
        self.model.give_back([job for job in self.model.leased(session) if job.lease != (session, fence)])

    # What operators do.

    @rule(number=picks)
    def cancel(self, number: int) -> None:
        job = self.pick(number, list(self.model.jobs.values()))
        if job is None:
            return
        status = self.operations.cancel(job.id)
        if job.status in WAITING:
            self.model.end(job, "cancelled")
        elif job.status == "executing":
            job.cancelling = True
        assert status == job.status
        before = self.snapshot()
        assert self.operations.cancel(job.id) == status
        assert self.snapshot() == before

    @rule(number=picks, delay_ms=delays)
    def reschedule(self, number: int, delay_ms: int) -> None:
        job = self.pick(number, list(self.model.jobs.values()))
        if job is None:
            return
        allowed = Status(job.status) in RESCHEDULABLE
        answer = self.expect(job, lambda: self.operations.reschedule(job.id, delay_ms=delay_ms), allowed)
        if allowed:
            self.model.put_in_line([job], delay_ms)
            assert answer == job.status

    @rule(number=picks)
    def retry(self, number: int) -> None:
        job = self.pick(number, list(self.model.jobs.values()))
        if job is None:
            return
        allowed = job.status not in ("finished", "cancelled")
        self.expect(job, lambda: self.operations.retry(job.id), allowed)
        if job.status == "failed":
            self.model.put_in_line([job], 0)

    @rule(number=picks, priority=priorities)
    def prioritize(self, number: int, priority: int) -> None:
        job = self.pick(number, list(self.model.jobs.values()))
        if job is None:
            return
        allowed = job.status in WAITING
        self.expect(job, lambda: self.operations.prioritize(job.id, priority), allowed)
        if allowed:
            job.priority = priority

    @rule(number=picks)
    def destroy(self, number: int) -> None:
        job = self.pick(number, list(self.model.jobs.values()))
        if job is None:
            return
        self.operations.destroy(job.id)
        before = self.snapshot()
        self.operations.destroy(job.id)
        assert self.snapshot() == before
        del self.model.jobs[job.id]
        self.gone.add(job.id)

    @rule(sure=st.integers(0, 9))
    def clear(self, sure: int) -> None:
        if sure:
            return
        waiting = [job for job in self.model.jobs.values() if job.status in WAITING]
        dropped = 0
        while step := self.call(lambda batch: batch.clear(QUEUE)):
            dropped += step
        assert dropped == len(waiting)
        for job in waiting:
            del self.model.jobs[job.id]
            self.gone.add(job.id)

    # What happens anyway.

    @rule(by_ms=st.sampled_from((1, 50, 300, 600, 1_100, 4_000)))
    def pass_time(self, by_ms: int) -> None:
        self.clock.advance(by_ms)
        self.model.now_ms = self.clock.now_ms

    @precondition(lambda self: self.sent)
    @rule(number=picks)
    def replay(self, number: int) -> None:
        """Any earlier call, sent again as it was."""
        before = self.snapshot()
        self.sent[number % len(self.sent)](self.store.batch()).run()
        tick_only = self.redis.hget(self.store.keys(QUEUE).stats, "tick")
        assert self.snapshot() == before
        if tick_only is not None and int(tick_only) == self.clock.now_ms:
            grace = self.redis.hget(self.store.keys(QUEUE).stats, "grace_until")
            self.model.tick_ms, self.model.grace_until_ms = int(tick_only), int(grace or 0)

    @rule()
    def forget_scripts(self) -> None:
        self.redis.script_flush()

    # What must be so after every step.

    @invariant()
    def counters_equal_the_model(self) -> None:
        stats = self.redis.hgetall(self.store.keys(QUEUE).stats)
        expected = Counter(job.status for job in self.model.jobs.values())
        for status in Status:
            assert int(stats.get(status.value.encode(), 0)) == expected[status.value], status
        by_type = Counter((job.status, job.type) for job in self.model.jobs.values())
        for status in ("failed", "cancelled"):
            for name in TYPES:
                assert int(stats.get(f"{status}:{name}".encode(), 0)) == by_type[status, name]

    @invariant()
    def every_job_is_where_the_model_says(self) -> None:
        listed: dict[str, str] = {}
        for status in Status:
            cursor: str | None = None
            while True:
                jobs, cursor = Listing(self.store, QUEUE, status).page(cursor, 7)
                for job in jobs:
                    assert job.record.id not in listed, f"{job.record.id} is listed twice"
                    listed[job.record.id] = status.value
                if cursor is None:
                    break
        assert listed == {job.id: job.status for job in self.model.jobs.values()}

    @invariant()
    def the_line_is_in_order(self) -> None:
        jobs, _ = Listing(self.store, QUEUE, Status.QUEUED).page(None, 1000)
        places = [self.model.jobs[job.record.id].place for job in jobs]
        assert places == sorted(places)

    @invariant()
    def jobs_are_found(self) -> None:
        for job in list(self.model.jobs.values())[-5:]:
            found = self.operations.find(job.id)
            assert (found.record.id, found.status, found.due_at_ms) == (job.id, job.status, job.due_ms)
        for name in sorted(self.gone)[-3:]:
            with pytest.raises(JobNotFound):
                self.operations.find(name)

    @invariant()
    def nothing_is_left_of_what_is_gone(self) -> None:
        if self.model.jobs:
            return
        keys = self.store.keys(QUEUE)
        left = (keys.chunks, keys.jobs, keys.marks, keys.finished, keys.ready, keys.scheduled, keys.finished_log)
        assert [key for key in left if self.redis.exists(key)] == []


assert set(ENDED) | set(WAITING) | {"executing"} == {status.value for status in Status}

TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(
    max_examples=RUNS,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
