"""The state machine: random interleavings of everything that can happen to jobs of a queue, on a real server.

After every step all keys are read in one atomic snapshot: the invariants hold in it, and it is what the model says.
"""

from __future__ import annotations

import struct
import threading
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from functools import wraps
from typing import Any, NamedTuple

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fastjobs import errors
from fastjobs._core import ChunkWriter, new_id
from fastjobs.config import Config
from fastjobs.errors import JobNotFound
from fastjobs.model.origin import Origin
from fastjobs.model.outcome import Outcome, Run
from fastjobs.model.record import ErrorRecord, JobRecord
from fastjobs.model.refs import parse_lease_name, parse_scheduled, split_member
from fastjobs.model.status import Status
from fastjobs.model.stored import parse_leased
from fastjobs.operating.fsck import Fsck
from fastjobs.operating.listing import Listing
from fastjobs.operating.operations import RESCHEDULABLE, Operations
from fastjobs.operating.queues import Queue
from fastjobs.server.connection import Client
from fastjobs.store.batch import Reply
from fastjobs.store.replies import Closed, Lease, Reclaimed, Renewed, Stored
from fastjobs.store.store import Batch, Store
from tests.harness.server import ServerProcess
from tests.harness.snapshot import Snapshot, check_invariants, jobs_of, take_snapshot
from tests.model.clock import TestClock
from tests.model.model import (
    ENDED,
    ENDED_KEEP,
    ENDED_KEEP_MS,
    FINISHED_KEEP,
    LEASE_MS,
    SENDER_KEEP_MS,
    TRIM_LIMIT,
    WAITING,
    ModelJob,
    ModelQueue,
)

QUEUE = "q"
TYPES = ("alpha", "beta")
#: Counters that the model keeps as well.
TOTALS = ("enqueued", "finished", "failed", "cancelled", "retried", "redelivered")

#: A chunk of 120 has indexes of one, two and three digits, and spans that end far from where they begin.
counts = st.one_of(st.integers(1, 12), st.integers(1, 12), st.integers(1, 12), st.just(120))
priorities = st.integers(-2, 2)
delays = st.sampled_from((0, 0, 0, 1, 100, 700, 5_000))
keeps = st.sampled_from((0, 2_000, 15_000, 60_000))
picks = st.integers(0, 10_000)
fates = st.sampled_from(("run", "none", "retrying", "failed", "cancelled"))
states = st.sampled_from(("retrying", "retrying", "failed", "failed", "scheduled", "cancelled"))


def same(what: str, found: dict[Any, Any], expected: dict[Any, Any]) -> None:
    """Fails with what differs: name -> (found, expected)."""
    names = {*found, *expected}
    differ = {name: (found.get(name), expected.get(name)) for name in names if found.get(name) != expected.get(name)}
    assert not differ, f"{what}, found and expected: {differ}"


#: The numbers that a sender has used when a run begins.
SENT_BEFORE = 100


def senders_numbers(entry: bytes) -> tuple[int, set[int]]:
    """When a sender is forgotten, and the numbers of its chunks that were stored."""
    forget_ms, highest, *missing = entry.decode().split(" ")
    numbers = set(range(1, int(highest) + 1))
    for found in missing:
        first, count = map(int, found.split("+"))
        numbers -= set(range(first, first + count))
    return int(forget_ms), numbers


def when(condition: Callable[[QueueMachine], object]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A step that does nothing unless the condition holds.

    Not a precondition of hypothesis: whether it holds can depend on who won a race, what can be chosen must not.
    """

    def decorate(step: Callable[..., None]) -> Callable[..., None]:
        @wraps(step)
        def maybe(self: QueueMachine, **drawn: Any) -> None:
            if condition(self):
                step(self, **drawn)

        return maybe

    return decorate


class Op(NamedTuple):
    """A call, and what it does to the model; `apply` fails when the answer is not what the model says."""

    add: Callable[[Batch], Reply[Any]]
    apply: Callable[[ModelQueue, Any], None]


class QueueMachine(RuleBasedStateMachine):
    """One queue, several sessions, one clock."""

    server: ServerProcess
    names_of_senders = ("tidy", "busy", "sparing")
    #: Steps of all runs, for the record.
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.config = Config(
            namespace=new_id(),
            lease_s=LEASE_MS / 1000,
            finished_keep=FINISHED_KEEP,
            failed_keep=ENDED_KEEP,
            failed_keep_s=ENDED_KEEP_MS / 1000,
        )
        self.redis = self.server.client()
        self.store = Store(Client(self.server.url), self.config)
        self.other_store = Store(Client(self.server.url), self.config)
        for store in (self.store, self.other_store):
            store._keyspace.sender_keep_ms = SENDER_KEEP_MS
        self.keys = self.store.keys(QUEUE)
        self.clock = TestClock(self.redis, self.keys.chunks.removesuffix(b"chunks"))
        self.model = ModelQueue(self.clock.now_ms)
        self.operations = Operations(self.store, QUEUE)
        self.queue = Queue(lambda: self.store, QUEUE)
        self.requests: Counter[str] = Counter()
        #: Number of the last fetch of a session that leased something.
        self.last_leased: Counter[str] = Counter()
        #: Leases that were given out: (session, fence) -> what the fetch returned.
        self.leases: dict[tuple[str, int], Lease] = {}
        #: n of each chunk.
        self.sizes: dict[str, int] = {}
        #: Ids of jobs that were destroyed or dropped.
        self.gone: set[str] = set()
        #: Calls that can be sent again at any later time and must then change nothing.
        self.sent: list[Callable[[Batch], Batch]] = []
        #: Calls to enqueue; sent again they may find that all is forgotten.
        self.enqueued: list[tuple[str, Origin, Op]] = []
        self.numbers = Counter[str]()
        #: Numbers of a sender that it has left out and may still use.
        self.left_out: list[int] = []
        self.last_fence = 0

    def teardown(self) -> None:
        for key in self.redis.keys(f"{{fastjobs:{self.config.namespace}:*"):
            self.redis.delete(key)
        self.store.client.close()
        self.other_store.client.close()
        self.redis.close()

    # Helpers.

    def name(self, kind: str) -> str:
        """Ids are numbered: a run can be repeated exactly."""
        self.numbers[kind] += 1
        return f"{kind}{self.numbers[kind]:04d}"

    def do(self, op: Op, *, replay: bool = False) -> Any:
        """Sends a call and compares; `replay`: it can be sent again at any time, and is at once."""
        result = op.add(self.store.batch()).run()
        op.apply(self.model, result)
        if replay:
            self.again(op.add)
            self.sent.append(op.add)
        return result

    def again(self, add: Callable[[Batch], Reply[Any]]) -> Any:
        """Sends a call once more: nothing may change but the tick of the heartbeat."""
        before = self.stored()
        result = add(self.store.batch()).run()
        assert self.stored() == before, "a call that was sent again changed something"
        stats = self.redis.hgetall(self.keys.stats)
        if b"tick" in stats:
            self.model.tick_ms = int(stats[b"tick"])
            self.model.grace_until_ms = int(stats.get(b"grace_until", 0))
        return result

    def stored(self) -> dict[str, Any]:
        contents = dict(take_snapshot(self.redis, self.keys).contents)
        contents.pop("wake")
        changing = (b"tick", b"grace_until")
        return {**contents, "stats": {k: v for k, v in contents["stats"].items() if k not in changing}}

    def pick(self, number: int) -> ModelJob | None:
        jobs = self.model.visible()
        return jobs[number % len(jobs)] if jobs else None

    def pick_lease(self, number: int) -> tuple[tuple[str, int], Lease]:
        """Mostly one that holds jobs; else any that was ever given out."""
        known = sorted(self.leases)
        live = sorted({job.lease for job in self.model.jobs.values() if job.lease})
        name = live[number % len(live)] if live and number % 6 else known[number % len(known)]
        return name, self.leases[name]

    def pick_session(self, number: int) -> str:
        return sorted(self.model.sessions)[number % len(self.model.sessions)]

    def part_of(self, ref: str, part: int, length: int) -> tuple[str, int, int, bool]:
        """Some of the jobs of a ref: chunk id, first, count, and whether it is a detached job."""
        jobs = jobs_of(ref)
        chunk_id, _, first = jobs[part % len(jobs)].rpartition("~")
        return chunk_id, int(first), min(length, len(jobs) - part % len(jobs)), "~" in ref and "+" not in ref

    def ref_of(self, chunk_id: str, first: int, count: int, detached: bool) -> str:
        if detached:
            return f"{chunk_id}~{first:03d}"
        return chunk_id if self.sizes[chunk_id] == 1 else f"{chunk_id}~{first:03d}+{count}"

    # Calls.

    def enqueue_op(
        self,
        chunk_id: str,
        names: list[str],
        priority: int,
        variant: int,
        delay_ms: int,
        due_ms: int,
        origin: Origin,
    ) -> Op:
        writer = ChunkWriter()
        for number, name in enumerate(names):
            writer.add(writer.entry(name), (number, variant))
        blob = writer.finish(self.clock.now_ms)

        def add(batch: Batch) -> Reply[Stored]:
            return batch.enqueue(
                QUEUE, chunk_id, len(names), priority, blob, origin, delay_ms=delay_ms, due_at_ms=due_ms
            )

        def apply(model: ModelQueue, result: Stored) -> None:
            due = model.now_ms + delay_ms if delay_ms else due_ms
            expected = model.enqueue(chunk_id, (tuple(names), variant), names, priority, due, origin)
            assert result.name.lower() == expected

        return Op(add, apply)

    def fetch_op(self, session: str, want: int) -> Op:
        self.requests[session] += 1
        request = self.requests[session]

        def apply(model: ModelQueue, lease: Lease) -> None:
            if session not in model.sessions:
                assert lease.fence == -1
                return
            if self.last_leased[session] > request:
                assert lease.fence == 0, "a fetch that a later one has overtaken leased something"
                return
            model.tick()
            model.promote()
            queued = [] if model.paused else model.in_status("queued")
            if not queued:
                assert lease.fence == 0
                return
            assert lease.fence > 0
            taken = [model.jobs[ref] for span in lease.spans for ref in jobs_of(span.ref)]
            assert all(job.status == "queued" for job in taken)
            assert min(want, len(queued)) <= len(taken) <= want + want // 4
            turns = [job.turn for job in taken]
            assert turns == sorted(turns), "not in order"
            for job in taken:
                job.status, job.lease = "executing", (session, lease.fence)
            left = [job.turn for job in queued if job.status == "queued"]
            assert not left or turns[-1] < min(left), "something better was left in line"
            self.leases[session, lease.fence] = lease
            self.last_leased[session] = request

        return Op(lambda batch: batch.fetch(QUEUE, session, request, want), apply)

    def ack_op(
        self, session: str, fence: int, runs: list[tuple[str, int, int, int]], settled: list[tuple[str, str, int, int]]
    ) -> Op:
        """Runs: (chunk id, first, count, keep_ms). Settled: (as `outcome` takes it)."""
        head = struct.pack("<Q", self.clock.now_ms * 1000) + b"\x01w"
        packed = [
            Run(chunk_id, self.sizes[chunk_id], first, count, head, bytes(8 * count), keep_ms)
            for chunk_id, first, count, keep_ms in runs
        ]
        outcomes = [self.outcome(*outcome) for outcome in settled]

        def apply(model: ModelQueue, taken: int) -> None:
            if session not in model.sessions:
                assert taken == -1
                return
            expected = 0
            for chunk_id, first, count, keep_ms in runs:
                done = [job for job in model.held((session, fence), chunk_id, first, count) if not job.detached]
                expected += len(done)
                for job in done:
                    model.finish(job, keep_ms)
            for ref, state, delay_ms, keep_ms in settled:
                job = model.jobs.get(ref.removeprefix("!"))
                if job and job.lease == (session, fence) and job.detached == ref.startswith("!"):
                    model.settle(job, state, delay_ms, keep_ms)
                    expected += 1
            assert taken == expected
            if taken:
                model.trim(2 * (len(runs) + len(settled)) + 2)

        return Op(lambda batch: batch.ack(QUEUE, session, fence, packed, outcomes), apply)

    def outcome(self, ref: str, state: str, delay_ms: int, keep_ms: int) -> Outcome:
        """`ref` begins with "!" when the job is leased as a detached one."""
        detached, ref = ref.startswith("!"), ref.removeprefix("!")
        chunk_id, _, index = ref.rpartition("~")
        job = self.model.jobs.get(ref)
        name, priority = (job.type, job.priority) if job else (TYPES[0], 0)
        n = self.sizes[chunk_id]
        record = JobRecord(
            id=chunk_id if n == 1 else ref, type=name, payload=[int(index), {}], priority=priority, attempts=1
        )
        record.add_error(ErrorRecord(type="ValueError", message="no"))
        packed = record.encode()
        leased_as, size = (ref, 0) if detached else (chunk_id, n)
        return Outcome(leased_as, size, int(index), state, delay_ms, priority, keep_ms, name, packed)

    def release_op(self, session: str, fence: int, chunk_id: str, first: int, count: int, detached: bool) -> Op:
        ref = self.ref_of(chunk_id, first, count, detached)

        def apply(model: ModelQueue, taken: int) -> None:
            mine = [j for j in model.held((session, fence), chunk_id, first, count) if j.detached == detached]
            assert taken == (len(mine) if session in model.sessions else -1)
            if taken > 0:
                model.give_back(mine)

        return Op(lambda batch: batch.release(QUEUE, session, fence, [ref]), apply)

    def postpone_op(
        self,
        session: str,
        fence: int,
        chunk_id: str,
        first: int,
        count: int,
        detached: bool,
        delay_ms: int,
        most_ms: int,
    ) -> Op:
        ref = self.ref_of(chunk_id, first, count, detached)

        def apply(model: ModelQueue, taken: int) -> None:
            mine = [j for j in model.held((session, fence), chunk_id, first, count) if j.detached == detached]
            assert taken == (len(mine) if session in model.sessions else -1)
            if taken > 0:
                model.postpone(mine, delay_ms, most_ms)

        return Op(lambda batch: batch.postpone(QUEUE, session, fence, delay_ms, [ref], most_ms=most_ms), apply)

    def renew_op(self, session: str) -> Op:
        def apply(model: ModelQueue, renewed: Renewed) -> None:
            model.tick()
            assert renewed.alive == [session in model.sessions, False]
            assert set(renewed.cancelling) == {job.ref for job in model.jobs.values() if job.cancelling}
            if session in model.sessions:
                model.sessions[session] = model.now_ms + LEASE_MS

        return Op(lambda batch: batch.renew(QUEUE, [session, "nobody"]), apply)

    def reclaim_op(self) -> Op:
        def apply(model: ModelQueue, step: Reclaimed) -> None:
            model.tick()
            expired = model.expired()
            if expired is None or model.now_ms < model.grace_until_ms:
                assert step == (0, 0, False)
                return
            del model.sessions[expired]
            returned = model.give_back(model.leased(expired))
            assert (step.sessions, step.jobs) == (1, returned)
            model.totals["redelivered"] += returned

        return Op(lambda batch: batch.reclaim(QUEUE), apply)

    def close_op(self, session: str) -> Op:
        def apply(model: ModelQueue, reply: Closed) -> None:
            model.sessions.pop(session, None)
            assert reply == (model.give_back(model.leased(session)), True)

        return Op(lambda batch: batch.close(QUEUE, session), apply)

    def audit_op(self, session: str, fence: int) -> Op:
        """A session that knows only one of its leases."""
        request = self.requests[session]

        def apply(model: ModelQueue, returned: int) -> None:
            if session not in model.sessions:
                assert returned == -1
                return
            if self.last_leased[session] > request:
                assert returned == 0, "an audit took what was fetched after it"
                return
            lost = [job for job in model.leased(session) if job.lease != (session, fence)]
            assert returned == model.give_back(lost)

        return Op(lambda batch: batch.audit(QUEUE, session, request, [fence]), apply)

    # What producers do.

    @initialize()
    def begin_with_a_lease(self) -> None:
        """Most of what can go wrong needs one; and one of the senders has sent so much that its entry is trusted."""
        self.redis.hset(self.keys.senders, "busy", f"{self.model.now_ms + SENDER_KEEP_MS} {SENT_BEFORE}")
        self.model.senders["busy"] = (self.model.now_ms + SENDER_KEEP_MS, set(range(1, SENT_BEFORE + 1)))
        self.numbers["busy"] = SENT_BEFORE
        self.open_session()
        self.enqueue(n=8, priority=0, delay_ms=0, ago_ms=0, mixed=True)
        self.fetch(number=0, want=5)

    def next_origin(self, *, chosen: bool) -> Origin:
        """Of one of a few senders; one leaves every other number out, and uses some of these later."""
        sender = self.names_of_senders[self.numbers["sent"] % len(self.names_of_senders)]
        self.numbers["sent"] += 1
        sent = self.numbers["sent"]
        if sender == "sparing" and sent % 2 and self.left_out:
            return Origin(sender, self.left_out.pop(), chosen)
        if sender == "sparing" and not sent % 2:
            self.numbers[sender] += 1
            if sent % 12:
                self.left_out.append(self.numbers[sender])
        self.numbers[sender] += 1
        return Origin(sender, self.numbers[sender], chosen)

    @rule(n=counts, priority=priorities, delay_ms=delays, ago_ms=st.integers(-3_000, 3_000), mixed=st.booleans())
    def enqueue(self, n: int, priority: int, delay_ms: int, ago_ms: int, mixed: bool) -> None:
        """With a delay, at once, or (mixed) at an instant before or after now."""
        chunk_id = self.name("c")
        self.sizes[chunk_id] = n
        names = [TYPES[number % 2] if mixed else TYPES[0] for number in range(n)]
        due_ms = self.clock.now_ms - ago_ms if mixed and not delay_ms else 0
        origin = self.next_origin(chosen=False)
        op = self.enqueue_op(chunk_id, names, priority, 0, delay_ms, due_ms, origin)
        assert self.do(op).is_new
        assert self.again(op.add) is Stored.EXISTING
        self.enqueued.append((chunk_id, origin, op))

    @rule(choice=st.integers(0, 2), variant=st.integers(0, 1), delay_ms=delays)
    def enqueue_with_chosen_id(self, choice: int, variant: int, delay_ms: int) -> None:
        """One of a few ids: its job may be stored, be another one, have left its chunk, or be long forgotten."""
        chunk_id = f"chosen{choice}"
        self.sizes[chunk_id] = 1
        origin = self.next_origin(chosen=True)
        op = self.enqueue_op(chunk_id, [TYPES[0]], 0, variant, delay_ms, 0, origin)
        self.do(op)
        self.enqueued.append((chunk_id, origin, op))

    @rule(number=picks)
    @when(lambda self: self.enqueued)
    def resend_enqueue(self, number: int) -> None:
        """The reply was lost: nothing is stored again, although the jobs may have ended and be forgotten.

        Also long afterwards, when the sender is forgotten: then the id alone decides, unless some jobs of the chunk
        have gone and others have left it. Looking for each of a thousand records would cost every enqueue.
        """
        chunk_id, origin, op = self.enqueued[number % len(self.enqueued)]
        left = [ref for ref in self.model.jobs if ref.startswith(f"{chunk_id}~")]
        known = self.model.was_sent(origin)
        if known or chunk_id in self.model.chunks or not left or f"{chunk_id}~000" in left:
            self.do(op)

    # What workers do.

    @rule()
    def open_session(self) -> None:
        session = self.name("s")

        def apply(model: ModelQueue, opened: bool) -> None:
            assert opened
            model.tick()
            model.sessions[session] = model.now_ms + LEASE_MS

        self.do(Op(lambda batch: batch.open(QUEUE, session), apply))

    @rule(number=picks, want=st.integers(1, 20))
    @when(lambda self: self.model.sessions)
    def fetch(self, number: int, want: int) -> None:
        op = self.fetch_op(self.pick_session(number), want)
        lease = self.do(op)
        if lease.fence > 0:
            again = self.again(op.add)
            assert (again.fence, [span.ref for span in again.spans]) == (
                lease.fence,
                [span.ref for span in lease.spans],
            )
            self.sent.append(op.add)

    #: Under two names the two are chosen twice as often: nothing happens without jobs.
    enqueue_more, fetch_more = enqueue, fetch

    @rule(number=picks, part=picks, length=st.integers(1, 20), keep_ms=keeps)
    @when(lambda self: self.leases)
    def finish(self, number: int, part: int, length: int, keep_ms: int) -> None:
        """Acks a run of finished jobs of a span, which may have been settled before."""
        (session, fence), lease = self.pick_lease(number)
        ref = lease.spans[part % len(lease.spans)].ref
        chunk_id, first, count, detached = self.part_of(ref, part, length)
        runs = [] if detached else [(chunk_id, first, count, keep_ms)]
        settled = [(f"!{ref}", "finished", 0, keep_ms)] if detached else []
        self.do(self.ack_op(session, fence, runs, settled), replay=True)

    @rule(number=picks, fates=st.lists(fates, min_size=12, max_size=12), delay_ms=delays, keep_ms=keeps)
    @when(lambda self: self.leases)
    def ack_all_sorts(self, number: int, fates: list[str], delay_ms: int, keep_ms: int) -> None:
        """One call that says of each job of a lease what became of it: in runs, as an outcome, or nothing yet."""
        (session, fence), lease = self.pick_lease(number)
        runs: list[tuple[str, int, int, int]] = []
        settled: list[tuple[str, str, int, int]] = []
        for span in lease.spans:
            detached = "~" in span.ref and "+" not in span.ref
            for ref in jobs_of(span.ref):
                chunk_id, _, index = ref.rpartition("~")
                fate = fates[int(index) % len(fates)]
                if fate == "run" and detached:
                    settled.append((f"!{ref}", "finished", 0, keep_ms))
                elif fate == "run" and runs and runs[-1][0] == chunk_id and sum(runs[-1][1:3]) == int(index):
                    runs[-1] = (chunk_id, runs[-1][1], runs[-1][2] + 1, keep_ms)
                elif fate == "run":
                    runs.append((chunk_id, int(index), 1, keep_ms))
                elif fate != "none":
                    settled.append((f"!{ref}" if detached else ref, fate, delay_ms, 0))
        self.do(self.ack_op(session, fence, runs, settled), replay=True)

    @rule(number=picks, part=picks, state=states, delay_ms=delays)
    @when(lambda self: self.leases)
    def settle(self, number: int, part: int, state: str, delay_ms: int) -> None:
        """One job raised, expired, was cancelled, or was of an unknown type."""
        (session, fence), lease = self.pick_lease(number)
        ref = lease.spans[part % len(lease.spans)].ref
        chunk_id, index, _, detached = self.part_of(ref, part, 1)
        settled = [(f"{'!' if detached else ''}{chunk_id}~{index:03d}", state, delay_ms, 0)]
        self.do(self.ack_op(session, fence, [], settled), replay=True)

    @rule(number=picks, part=picks, length=st.integers(1, 20))
    @when(lambda self: self.leases)
    def release(self, number: int, part: int, length: int) -> None:
        (session, fence), lease = self.pick_lease(number)
        chosen = self.part_of(lease.spans[part % len(lease.spans)].ref, part, length)
        self.do(self.release_op(session, fence, *chosen), replay=True)

    @rule(
        number=picks,
        part=picks,
        length=st.integers(1, 20),
        delay_ms=st.sampled_from((100, 700, 5_000)),
        times=st.sampled_from((1, 3)),
    )
    @when(lambda self: self.leases)
    def postpone(self, number: int, part: int, length: int, delay_ms: int, times: int) -> None:
        (session, fence), lease = self.pick_lease(number)
        chosen = self.part_of(lease.spans[part % len(lease.spans)].ref, part, length)
        self.do(self.postpone_op(session, fence, *chosen, delay_ms, times * delay_ms), replay=True)
        job = self.model.jobs.get(f"{chosen[0]}~{chosen[1]:03d}")
        if job is not None and not self.model.is_hidden(job):
            self.check_found(job)

    @rule(number=picks)
    @when(lambda self: self.model.sessions)
    def renew(self, number: int) -> None:
        self.do(self.renew_op(self.pick_session(number)))

    @rule()
    def reclaim(self) -> None:
        self.do(self.reclaim_op())

    @rule(number=picks)
    @when(lambda self: self.model.sessions)
    def close(self, number: int) -> None:
        self.do(self.close_op(self.pick_session(number)), replay=True)

    @rule(number=picks)
    @when(lambda self: self.leases)
    def audit(self, number: int) -> None:
        (session, fence), _ = self.pick_lease(number)
        self.do(self.audit_op(session, fence), replay=True)

    @rule(number=picks)
    @when(lambda self: self.leases and self.model.sessions)
    def audit_late(self, number: int) -> None:
        """An audit that arrives after the session has fetched again."""
        (session, fence), _ = self.pick_lease(number)
        op = self.audit_op(session, fence)
        self.do(self.fetch_op(session, 3))
        self.do(op)

    @rule(survivors=picks)
    @when(lambda self: self.model.sessions)
    def let_sessions_die(self, survivors: int) -> None:
        """Some sessions are not renewed, while the server and others live on."""
        for _ in range(4):
            self.pass_time(LEASE_MS // 3)
            for position, session in enumerate(sorted(self.model.sessions)):
                if survivors >> position & 1:
                    self.do(self.renew_op(session))
            self.do(self.reclaim_op())

    @rule()
    def let_history_age(self) -> None:
        self.pass_time(ENDED_KEEP_MS + 1)
        self.trim()

    @rule()
    def trim(self) -> None:
        def apply(model: ModelQueue, forgotten: int) -> None:
            before = Counter(job.status for job in model.visible())
            model.trim(TRIM_LIMIT)
            model.trim_senders()
            after = Counter(job.status for job in model.visible())
            assert forgotten == (before - after).total()

        self.do(Op(lambda batch: batch.trim(QUEUE), apply), replay=False)

    @rule()
    def forget(self) -> None:
        """Refused as long as anything is stored."""

        def apply(model: ModelQueue, kept_by: str) -> None:
            if kept_by == "":
                model.forget()
                self.last_fence = 0

        self.do(Op(lambda batch: batch.forget(QUEUE), apply), replay=False)

    @rule(numbers=st.tuples(picks, picks), kinds=st.tuples(st.integers(0, 6), st.integers(0, 6)), part=picks)
    @when(lambda self: len(self.leases) > 1)
    def race(self, numbers: tuple[int, int], kinds: tuple[int, int], part: int) -> None:
        """Two clients send at the same time: what comes out is what one of the two orders gives."""
        ops = [self.any_op(kind, number, part) for kind, number in zip(kinds, numbers, strict=True)]
        results: list[Any] = [None, None]
        together = threading.Barrier(2)

        def send(position: int, store: Store) -> None:
            reply = ops[position].add(store.batch())
            together.wait(10)
            results[position] = reply.run()

        other = threading.Thread(target=send, args=(1, self.other_store))
        other.start()
        send(0, self.store)
        other.join(10)
        before, leases, last_leased, found = self.model, dict(self.leases), Counter(self.last_leased), []
        for order in ((0, 1), (1, 0)):
            self.model, self.leases, self.last_leased = deepcopy(before), dict(leases), Counter(last_leased)
            try:
                for position in order:
                    ops[position].apply(self.model, results[position])
                self.compare(take_snapshot(self.redis, self.keys))
                return
            except AssertionError as error:
                found.append(error)
        raise AssertionError(f"neither order explains that calls {kinds} answered {results}: {found!r}")

    def any_op(self, kind: int, number: int, part: int) -> Op:
        (session, fence), lease = self.pick_lease(number)
        ref = lease.spans[part % len(lease.spans)].ref
        chunk_id, first, count, detached = self.part_of(ref, part, 12)
        if kind == 0:
            return self.fetch_op(session, 1 + number % 9)
        if kind == 1:
            return self.reclaim_op()
        if kind == 2:
            return self.close_op(session) if number % 3 == 0 else self.renew_op(session)
        if kind == 3:
            return self.audit_op(session, fence)
        if kind == 4:
            return self.release_op(session, fence, chunk_id, first, count, detached)
        if detached:
            return self.ack_op(session, fence, [], [(f"!{ref}", "finished", 0, 2_000)])
        return self.ack_op(session, fence, [(chunk_id, first, count, 2_000)], [])

    # What operators do.

    def expect(self, job: ModelJob, operation: Callable[[], Any], allowed: bool) -> Any:
        """Acts on a job and compares whether it was refused."""
        before = self.stored()
        try:
            answer = operation()
        except JobNotFound:
            raise AssertionError(f"{job.id} is not found, it should be {job.status}") from None
        except errors.JobStateError as error:
            assert not allowed, error
            assert self.stored() == before
            return None
        assert allowed, f"{answer} although {job.status}"
        return answer

    @rule(number=picks)
    @when(lambda self: self.model.jobs)
    def cancel(self, number: int) -> None:
        executing = self.model.in_status("executing")
        job = executing[number % len(executing)] if executing and number % 3 else self.pick(number)
        if job is None:
            return
        status = self.operations.cancel(job.id)
        if job.status in WAITING:
            self.model.end(job, "cancelled")
            self.model.trim_ended("cancelled", 2)
        elif job.status == "executing":
            job.cancelling = True
        assert status == job.status
        if job.ref in self.model.jobs:
            before = self.stored()
            assert self.operations.cancel(job.id) == status
            assert self.stored() == before

    @rule(number=picks, delay_ms=delays)
    @when(lambda self: self.model.jobs)
    def reschedule(self, number: int, delay_ms: int) -> None:
        job = self.pick(number)
        if job is None:
            return
        allowed = Status(job.status) in RESCHEDULABLE
        answer = self.expect(job, lambda: self.operations.reschedule(job.id, delay_ms=delay_ms), allowed)
        if allowed:
            self.model.leave_chunk(job)
            self.model.put_in_line([job], self.clock.now_ms + delay_ms, "scheduled")
            assert answer == job.status

    @rule(number=picks)
    @when(lambda self: self.model.jobs)
    def retry(self, number: int) -> None:
        job = self.pick(number)
        if job is None:
            return
        allowed = job.status not in ("finished", "cancelled")
        self.expect(job, lambda: self.operations.retry(job.id), allowed)
        if job.status == "failed":
            self.model.put_in_line([job], 0, "scheduled")

    @rule(number=picks, priority=st.one_of(priorities, st.none()), neighbour=picks)
    @when(lambda self: self.model.jobs)
    def prioritize(self, number: int, priority: int | None, neighbour: int) -> None:
        """Also to the priority that the job has already: it then stands among the jobs of its chunk as before."""
        job = self.pick(number)
        if job is None:
            return
        new_priority = job.priority if priority is None else priority
        allowed = job.status in WAITING
        self.expect(job, lambda: self.operations.prioritize(job.id, new_priority), allowed)
        if allowed:
            self.model.leave_chunk(job)
            job.priority = new_priority
            self.check_neighbour(job, neighbour)

    @rule(number=picks)
    @when(lambda self: self.model.jobs)
    def destroy(self, number: int) -> None:
        job = self.pick(number)
        if job is None:
            return
        self.operations.destroy(job.id)
        before = self.stored()
        self.operations.destroy(job.id)
        assert self.stored() == before
        self.model.destroy(job)
        self.gone.add(job.id)

    @rule(sure=st.integers(0, 5))
    def clear(self, sure: int) -> None:
        if sure:
            return
        waiting = [job for job in self.model.jobs.values() if job.status in WAITING]
        assert self.queue.clear() == len(waiting)
        for job in waiting:
            self.model.destroy(job)
            self.gone.add(job.id)

    @rule(sure=st.integers(0, 2))
    def pause(self, sure: int) -> None:
        if sure == 0:
            self.queue.pause()
            self.model.paused = True

    @rule()
    @when(lambda self: self.model.paused)
    def resume(self) -> None:
        self.queue.resume()
        self.model.paused = False

    # What happens anyway.

    @rule(by_ms=st.sampled_from((1, 50, 300, 300, 700, 4_000, 16_000, -3_000)))
    def pass_time(self, by_ms: int) -> None:
        """Also back, as when somebody sets the server's clock."""
        self.clock.advance(by_ms)
        self.model.now_ms = self.clock.now_ms

    @rule(number=picks)
    @when(lambda self: self.sent)
    def replay(self, number: int) -> None:
        """Any earlier call, sent again as it was."""
        self.again(self.sent[number % len(self.sent)])

    @rule()
    def forget_scripts(self) -> None:
        self.redis.script_flush()

    @rule(sure=st.integers(0, 24))
    def restart_server(self, sure: int) -> None:
        """A crash of the server process loses nothing it has answered."""
        if sure:
            return
        self.server.kill()
        for client in (self.store.client, self.other_store.client, self.redis):
            client.close()
        self.server.start()

    # What can be seen from outside.

    @rule(limit=st.integers(1, 9), reverse=st.booleans())
    def list_everything(self, limit: int, reverse: bool) -> None:
        listed: dict[str, str] = {}
        for status in Status:
            cursor: str | None = None
            order = []
            while True:
                jobs, cursor = Listing(self.store, QUEUE, status, reverse=reverse).page(cursor, limit)
                for job in jobs:
                    assert job.record.id not in listed, f"{job.record.id} is listed twice"
                    listed[job.record.id] = status.value
                    order.append(job.address.ref)
                if cursor is None:
                    break
            if status is Status.QUEUED:
                places = [self.model.jobs[ref].place for ref in order]
                assert places == sorted(places, reverse=reverse)
        same("listed jobs", listed, {job.id: job.status for job in self.model.visible()})

    @rule(number=picks)
    @when(lambda self: self.model.jobs)
    def find(self, number: int) -> None:
        job = self.pick(number)
        if job is not None:
            self.check_found(job)
        for name in sorted(self.gone - {job.id for job in self.model.jobs.values()})[-3:]:
            with pytest.raises(JobNotFound):
                self.operations.find(name)

    def check_neighbour(self, job: ModelJob, number: int) -> None:
        """Another job of the same chunk is found where it is."""
        others = [other for other in self.model.visible() if other.chunk_id == job.chunk_id]
        self.check_found(others[number % len(others)])

    def check_found(self, job: ModelJob) -> None:
        found = self.operations.find(job.id)
        assert (found.record.id, found.status, found.due_at_ms) == (job.id, job.status, job.due_ms)

    # What must be so after every step.

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        type(self).steps += 1
        self.compare(take_snapshot(self.redis, self.keys))

    @invariant()
    def fsck_finds_nothing(self) -> None:
        report = Fsck(lambda: self.store, QUEUE).check()
        assert report.status == "clean", report

    def compare(self, snapshot: Snapshot) -> None:
        """The invariants hold in the snapshot, and it is what the model says."""
        model = self.model
        met = check_invariants(snapshot)
        same("jobs", met, {job.ref: job.status for job in model.jobs.values()})
        self.compare_places(snapshot)
        leases: dict[tuple[str, int], set[str]] = {}
        for name, value in snapshot["leases"].items():
            lease = parse_lease_name(name.decode())
            if lease:
                session, fence = lease
                leases[session, int(fence)] = {job for member in parse_leased(value) for job in member.ref.jobs}
        held: dict[tuple[str, int], set[str]] = {}
        for job in model.in_status("executing"):
            assert job.lease is not None
            held.setdefault(job.lease, set()).add(job.ref)
        same("leases", leases, held)
        same("sessions", {name.decode(): int(at) for name, at in snapshot["sessions"].items()}, model.sessions)
        cancelling = {job.ref: True for job in model.jobs.values() if job.cancelling}
        same("jobs to be cancelled", {ref.decode(): True for ref in snapshot["cancelling"]}, cancelling)
        for status in ("failed", "cancelled"):
            ended = {ref.decode(): int(at) for ref, at in snapshot[status].items()}
            same(status, ended, {job.ref: job.ended_ms for job in model.in_status(status)})
        senders = {name.decode(): senders_numbers(entry) for name, entry in snapshot["senders"].items()}
        same("senders", senders, model.senders)
        logged = {what: int(at) for what, at in snapshot["finished_log"].items()}
        same("history", logged, {what: at for at, what, _ in model.log()})
        self.compare_counters(snapshot)

    def compare_places(self, snapshot: Snapshot) -> None:
        """Who stands in line stands where the model says, and who waits for its time waits for that time."""
        for member, score in snapshot["ready"].items():
            sequence, span = split_member(member)
            for ref in jobs_of(span):
                assert self.model.jobs[ref].place == (int(score), sequence), ref
        for member, due in snapshot["scheduled"].items():
            met = parse_scheduled(member.decode())
            place = (int(met.place.score), int(met.place.sequence, 16))
            for ref in met.ref.jobs:
                job = self.model.jobs[ref]
                assert (job.place, job.due_ms) == (place, int(due)), ref

    def compare_counters(self, snapshot: Snapshot) -> None:
        stats = {name.decode(): value for name, value in snapshot["stats"].items()}
        there = Counter(job.status for job in self.model.visible())
        for status in (*WAITING, "executing", *ENDED):
            assert int(stats.get(status, 0)) == there[status], status
        for name in TOTALS:
            assert int(stats.get(f"{name}_total", 0)) == self.model.totals[name], name
        fence = int(stats.get("fence", 0))
        assert fence >= self.last_fence, "a fence goes back"
        self.last_fence = fence


assert set(ENDED) | set(WAITING) | {"executing"} == {status.value for status in Status}
