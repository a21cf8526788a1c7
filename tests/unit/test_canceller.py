"""Cancelling jobs that a process holds, wherever they are in it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from fastjobs._core import Backlog, Board, Chunk, ChunkWriter, LeasedJobs, boot_time_ns
from fastjobs.model.record import JobRecord
from fastjobs.worker.leases import HeldLease, HeldLeases, HeldSpan
from fastjobs.worker.process.canceller import Canceller
from fastjobs.worker.process.interrupter import Interrupter
from fastjobs.worker.process.thread_executor import ThreadExecutor


class Held:
    """A process's leases, and a canceller for them."""

    def __init__(self) -> None:
        self.board = Board.create(1, 4)
        self.board.valid_until_ns = boot_time_ns() + 3600 * 10**9
        self._notify_fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.backlog = Backlog(self.board, lambda jobs, index, ending: ending, self._notify_fd)
        self.leases = HeldLeases(self.board)
        self.suspects: list[LeasedJobs] = []
        self.canceller = Canceller(
            self.backlog,
            ThreadExecutor(self.backlog, Interrupter(self.backlog.seats, 1.0), 1),
            self.leases,
            self.suspects,
        )
        self.ran: list[int] = []

    def add_chunk(self, chunk_id: str, n: int, *, first: int = 0, queue: str = "q") -> HeldLease:
        writer = ChunkWriter(1 << 20, 1024)
        for index in range(n):
            writer.add(writer.entry("job", b""), (index,), None)
        chunk = Chunk.decode(writer.finish(1))
        return self._add(queue, chunk_id, n, first, n - first, chunk=chunk)

    def add_record(self, ref: str, *, crashes: int = 0) -> HeldLease:
        record = JobRecord(id=ref, type="job", payload=[7, {}], crashes=crashes)
        return self._add("q", ref, 0, int(ref.rpartition("~")[2]), 1, record=record)

    def _add(
        self,
        queue: str,
        ref: str,
        n: int,
        first: int,
        count: int,
        chunk: Chunk | None = None,
        record: JobRecord | None = None,
    ) -> HeldLease:
        slot = self.board.lease(len(self.leases) + 1, 0, [(ref, n, first, count, 0, 0)])
        lease = HeldLease(queue, slot, slot, count)
        span = HeldSpan(lease, ref, n, first, count, 0, chunk=chunk, record=record)
        lease.spans.append(span)
        self.leases.add(lease)
        arguments = record.payload if record else None
        jobs = LeasedJobs(chunk, [self.ran.append], slot, 0, first, count, arguments, span)
        if record and record.crashes:
            self.suspects.append(jobs)
        else:
            self.backlog.push(jobs)
        return lease

    def close(self) -> None:
        os.close(self._notify_fd)
        os.close(self.board.fd)


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.close()


def cancelled(lease: HeldLease) -> list[tuple[str, int, str]]:
    return [(outcome.ref, outcome.index, outcome.status) for outcome in lease.outcomes]


def test_unstarted_jobs_of_a_chunk_are_left_out_one_by_one(held: Held) -> None:
    lease = held.add_chunk("c", 6, first=2)
    for ref in ("c~003", "c~003", "c~005", "c~001", "d~003"):
        held.canceller.cancel([("q", ref)])
    held.backlog.execute(0)

    assert held.ran == [2, 4]
    assert cancelled(lease) == [("c", 3, "cancelled"), ("c", 5, "cancelled")]


def test_a_chunk_of_one_is_named_by_its_index_as_well(held: Held) -> None:
    lease = held.add_chunk("c", 1)
    held.canceller.cancel([("q", "c~000")])
    held.backlog.execute(0)

    assert (held.ran, cancelled(lease)) == ([], [("c", 0, "cancelled")])


def test_a_detached_job_and_one_that_is_to_be_run_alone_are_found(held: Held) -> None:
    detached, suspect = held.add_record("c~004"), held.add_record("c~005", crashes=1)
    held.canceller.cancel([("q", "c~004")])
    held.canceller.cancel([("q", "c~005")])
    held.backlog.execute(0)

    assert (held.ran, held.suspects) == ([], [])
    assert cancelled(detached) == [("c~004", 4, "cancelled")]
    assert cancelled(suspect) == [("c~005", 5, "cancelled")]


def test_the_same_id_in_another_queue_is_another_job(held: Held) -> None:
    here, there = held.add_chunk("mine", 1), held.add_chunk("mine", 1, queue="other")
    held.canceller.cancel([("other", "mine~000")])
    held.backlog.execute(0)

    assert (cancelled(here), cancelled(there)) == ([], [("mine", 0, "cancelled")])
    assert held.ran == [0]


def test_a_job_that_has_ended_stays_as_it_ended(held: Held) -> None:
    lease = held.add_chunk("c", 2)
    held.backlog.execute(0)
    held.canceller.cancel([("q", "c~001")])

    assert (held.ran, cancelled(lease)) == ([0, 1], [])
