"""Order, whatever happens to jobs on their way: priority descending, then as they were enqueued."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness.queue import Held, QueueUnderTest
from tests.harness.server import ServerProcess
from tests.harness.snapshot import jobs_of

#: A place in line: (minus the priority, how manieth it was put there, index).
Place = tuple[int, int, int]


class Model:
    """What should be in line, and where; steps do the same to it and to the queue."""

    def __init__(self, queue: QueueUnderTest) -> None:
        self.queue = queue
        self.clock = 0
        self.waiting: dict[str, Place] = {}
        self.places: dict[str, Place] = {}
        self.leases: list[Held] = []

    def enqueue(self, n: int, priority: int) -> None:
        chunk_id = self.queue.enqueue(n, priority=priority)
        self.clock += 1
        for index in range(n):
            job = f"{chunk_id}~{index:03d}"
            self.places[job] = self.waiting[job] = (-priority, self.clock, index)

    def fetch(self, want: int, _: int) -> None:
        held = self.queue.fetch(self.queue.open(), want)
        got = [job for ref in held.refs for job in jobs_of(ref)]
        assert got == self.line()[: len(got)], "the head of the line was fetched, in order"
        assert len(got) <= want + want // 4
        assert len(got) >= min(want, len(self.waiting))
        for job in got:
            del self.waiting[job]
        if got:
            self.leases.append(held)

    def give_back(self, which: int, how: int) -> None:
        """Releases, closes, reclaims or audits a lease: its jobs stand where they stood."""
        if not self.leases:
            return
        held = self.leases.pop(which % len(self.leases))
        ways: list[Callable[[], object]] = [
            lambda: self.queue.release(held),
            lambda: self.queue.close_session(held.session),
            lambda: (self.queue.seed_expired(held.session), self.queue.reclaim_all()),
            lambda: self.queue.audit(held.session),
        ]
        ways[how % len(ways)]()
        for ref in held.refs:
            for job in jobs_of(ref):
                self.waiting[job] = self.places[job]

    def retry(self, which: int, _: int) -> None:
        """Every job of a lease raised: each goes behind its equals, at its own priority."""
        if not self.leases:
            return
        held = self.leases.pop(which % len(self.leases))
        outcomes = []
        for span in held.lease.spans:
            for job in jobs_of(span.ref):
                chunk_id, _, index = job.partition("~")
                detached = "~" in span.ref and "+" not in span.ref
                outcomes.append(
                    self.queue.outcome(
                        span.ref if detached else chunk_id,
                        int(index),
                        "retrying",
                        n=0 if detached else None,
                        priority=span.priority,
                    )
                )
                self.clock += 1
                self.places[job] = self.waiting[job] = (-span.priority, self.clock, 0)
        assert self.queue.ack(held, (), outcomes) == len(outcomes)

    def finish(self, which: int, _: int) -> None:
        if self.leases:
            held = self.leases.pop(which % len(self.leases))
            assert self.queue.finish(held) > 0

    def line(self) -> list[str]:
        return sorted(self.waiting, key=lambda job: self.waiting[job])


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("enqueue"), st.integers(1, 12), st.integers(-1, 2)),
        st.tuples(st.just("fetch"), st.integers(1, 15), st.just(0)),
        st.tuples(st.just("give_back"), st.integers(0, 5), st.integers(0, 3)),
        st.tuples(st.just("retry"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("finish"), st.integers(0, 5), st.just(0)),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_fetches_follow_priority_and_sequence_whatever_happened_before(server: ServerProcess, steps: list) -> None:
    queue = QueueUnderTest(server.url, uuid.uuid4().hex[:12])
    try:
        model = Model(queue)
        for name, first, second in steps:
            getattr(model, name)(first, second)
            assert queue.get_ready() == model.line()
        queue.snapshot()
        assert queue.drain(queue.open(), 7) == model.line()
        queue.snapshot()
    finally:
        queue.close()
