"""The leases a worker process holds, and what became of their jobs so far."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from fastjobs._core import Board, Chunk
from fastjobs.model.outcome import Outcome
from fastjobs.model.record import JobRecord
from fastjobs.model.refs import job_id, span_ref


@dataclass(slots=True, eq=False)
class HeldSpan:
    """A span of a lease: jobs of one chunk, or one detached job."""

    lease: HeldLease
    #: As in the lease: chunk id for a chunk's jobs, "<id>~<index>" for a detached job.
    ref: str
    #: Jobs in the whole chunk; 0 for a detached job.
    n: int
    first: int
    count: int
    priority: int
    #: How long its jobs are kept when they have finished, in milliseconds; 0 = not at all.
    keep_ms: int = 0
    #: Its place in line: microseconds by the server's clock.
    sequence: int = 0
    chunk: Chunk | None = None
    record: JobRecord | None = None
    #: With how many jobs it may run at a time at most, itself included, because one of them may end the process.
    beside: int = 0
    #: First column on the board.
    column: int = 0

    @property
    def earlier_runs(self) -> int:
        """How many runs of its jobs were charged before."""
        return self.record.attempts if self.record else 0

    def job_id(self, index: int) -> str:
        """Returns the public id of the job at an index of the chunk."""
        if self.record is not None:
            return self.record.id
        return job_id(self.ref, index, self.n)

    def type_name(self, index: int) -> str:
        """Returns the name of the type of the job at an index of the chunk."""
        if self.record is not None:
            return self.record.type
        assert self.chunk is not None
        return self.chunk.types[self.chunk.type_index(index)][0]

    def part(self, first: int, count: int) -> str:
        """Returns the ref of a part of the span, to give it back."""
        return self.ref if self.n <= 1 else span_ref(self.ref, first, count)

    def outcome(self, index: int, status: str, record: JobRecord, delay_ms: int = 0) -> Outcome:
        """Returns what to report about the job at an index."""
        return Outcome(
            self.ref,
            self.n,
            index,
            status,
            delay_ms,
            self.priority,
            self.keep_ms,
            record.type,
            record.encode(),
            record.encode_short() if record.errors else b"",
        )


@dataclass(slots=True, eq=False)
class HeldLease:
    """One lease, from its fetch until its last job is settled."""

    partition: str
    fence: int
    slot: int
    jobs: int
    #: Bytes of its payloads, unpacked: the memory that they take.
    size: int = 0
    spans: list[HeldSpan] = field(default_factory=list)
    #: Outcomes to be reported with the next ack. Executors append them.
    outcomes: list[Outcome] = field(default_factory=list)
    #: Jobs the server has taken off the lease.
    settled: int = 0


class HeldLeases:
    """All leases of the process, by their slot on the board."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._by_slot: dict[int, HeldLease] = {}
        #: Bytes of the payloads of all of them, unpacked.
        self.size = 0

    def __iter__(self) -> Iterator[HeldLease]:
        return iter(list(self._by_slot.values()))

    def __len__(self) -> int:
        return len(self._by_slot)

    def add(self, lease: HeldLease) -> None:
        """Takes a lease in."""
        self._by_slot[lease.slot] = lease
        self.size += lease.size

    def settle(self, lease: HeldLease, jobs: int) -> None:
        """Counts jobs that the server has taken off the lease; the last one frees its slot."""
        lease.settled += jobs
        if lease.settled >= lease.jobs:
            self._board.free(lease.slot)
            if self._by_slot.pop(lease.slot, None) is not None:
                self.size -= lease.size
                # Lease and spans refer to each other: without this their chunks would wait for the garbage collector.
                lease.spans.clear()
