"""Decides how many jobs to lease, from which queue, and turns a lease into jobs the executors can run."""

from __future__ import annotations

import logging
import math
import random
from collections import OrderedDict
from collections.abc import Sequence

import orjson

from fastjobs import errors
from fastjobs._core import MAX_FETCH_JOBS, Backlog, Board, Chunk, LeasedJobs, boot_time_ns
from fastjobs.config import Config, QueueChoice
from fastjobs.logs import event
from fastjobs.model.partitions import queue_of
from fastjobs.model.record import JobRecord
from fastjobs.model.refs import split_ref
from fastjobs.model.time_limits import Limits
from fastjobs.store.replies import Lease, LeasedSpan
from fastjobs.store.sealing import Keyring
from fastjobs.worker import outcomes
from fastjobs.worker.leases import HeldLease, HeldLeases, HeldSpan
from fastjobs.worker.process.around import Composer

log = logging.getLogger("fastjobs.worker")

#: Work to keep leased but unstarted, in seconds of each thread: covers a round trip many times
#: over, and is what a job of another process can wait behind at most.
_HORIZON_S = 0.075
#: So many times as much work in hand as that is too much: part of it is given back.
_EXCESS_HORIZONS = 4
#: What a job is taken to cost before one has been run: a small first lease, soon corrected.
_FIRST_GUESS_S = 0.002
#: Jobs slower than this are leased one per idle thread: a round trip is nothing to them.
_SLOW_JOB_S = 0.05
#: Weight of the newest measurement in the average.
_SMOOTHING = 0.3
#: Decoded chunks kept because more of their jobs will probably be leased.
_KEPT_CHUNKS = 8


class Prefetcher:
    """Sizes fetches to what jobs cost and takes leases in.

    Args:
        config: the app's settings.
        keyring: opens what is leased.
        board: the progress board.
        backlog: where leased jobs wait for an executor.
        composer: knows what surrounds a job's handler.
        leases: the leases the process holds.
        queues: the queues to take from, with weights if they are weighted.
        batch_size: most jobs to hold unstarted; 1 runs strictly by priority.
        worker: the worker's name, stored with errors.
    """

    def __init__(
        self,
        config: Config,
        keyring: Keyring,
        board: Board,
        backlog: Backlog,
        composer: Composer,
        leases: HeldLeases,
        queues: Sequence[QueueChoice],
        batch_size: int,
        worker: str,
    ) -> None:
        self._config = config
        self._keyring = keyring
        self._board = board
        self._backlog = backlog
        self._composer = composer
        self._leases = leases
        self._queues = queues
        self._partitions: dict[str, list[str]] = {}
        self._indexes: dict[str, int] = {}
        self._round = 0
        self._weighted = any(choice.weight is not None for choice in queues)
        self._batch_size = batch_size
        self._worker = worker
        self._average_s = _FIRST_GUESS_S
        self._measured = (0, 0)
        #: By partition and id: what is genuine in one queue need not be in another.
        self._chunks: OrderedDict[tuple[str, str], Chunk] = OrderedDict()
        #: Chunks of the lease being taken in that cannot be read, with their size: it comes with the first span only.
        self._refused: dict[str, tuple[errors.ChunkError, int]] = {}
        #: Spans written by a newer release, or sealed with a key that is not known here, to be put off.
        self.too_new: list[HeldSpan] = []
        #: Jobs that killed a process before: each is run alone.
        self.suspects: list[LeasedJobs] = []

    def add_partitions(self, partitions: Sequence[str]) -> None:
        """Adds partitions of the queues to take from; the board numbers them in the order they are added."""
        for name in partitions:
            self._indexes[name] = len(self._indexes)
            self._partitions.setdefault(queue_of(name), []).append(name)

    def order(self, hinted: str = "") -> list[str]:
        """Returns the partitions in the order to try them now: by queue as given, or drawn by weight.

        Those of one queue take turns, but one that a hint came from is the first of them.
        """
        queues = [choice.name for choice in self._queues]
        if self._weighted:
            # Efraimidis and Spirakis (2006): keys u^(1/w) sort a weighted draw without replacement.
            keyed = [(random.random() ** (1 / (choice.weight or 1)), choice.name) for choice in self._queues]
            queues = [name for _, name in sorted(keyed, reverse=True)]
        self._round += 1
        return [name for queue in queues for name in self._in_turn(self._partitions[queue], hinted)]

    def _in_turn(self, partitions: list[str], hinted: str) -> list[str]:
        first = partitions.index(hinted) if hinted in partitions else self._round % len(partitions)
        return partitions[first:] + partitions[:first]

    def target(self) -> int:
        """Returns how many unstarted jobs to hold while the threads are busy."""
        self._measure()
        if self._batch_size == 1 or self._average_s > _SLOW_JOB_S or self._all_slow():
            return 0
        ideal = math.ceil(self._board.seats * _HORIZON_S / self._average_s)
        return min(max(ideal, self._board.seats), self._batch_size)

    def excess(self, target: int) -> bool:
        """Whether so many jobs were leased, before it was known what they cost, that others should have some."""
        unstarted = self._backlog.unstarted
        waits_s = unstarted * self._average_s / self._board.seats
        return unstarted > 2 * target + self._board.seats and waits_s > _EXCESS_HORIZONS * _HORIZON_S

    def want(self, idle_threads: int, target: int) -> int:
        """Returns how many jobs to ask for now; 0 while enough are held."""
        unstarted = self._backlog.unstarted
        if len(self._leases) >= self._board.slots:
            return 0
        if unstarted <= target // 2:
            wanted = max(target - unstarted, idle_threads - unstarted)
        else:
            wanted = idle_threads - unstarted
        return max(0, min(wanted, self._batch_size, MAX_FETCH_JOBS))

    def held_chunks(self, queue: str) -> list[str]:
        """Returns the ids of a partition's chunks whose payload need not be sent again."""
        return [chunk_id for where, chunk_id in self._chunks if where == queue]

    def accept(self, queue: str, leased: Lease) -> int:
        """Takes a lease in and hands its jobs to the executors; returns how many."""
        spans = [(item, *split_ref(item.ref)) for item in leased.spans]
        lease = HeldLease(queue, leased.fence, -1, sum([span[3] for span in spans]))
        for item, chunk_id, first, count, kind in spans:
            lease.spans.append(self._hold(lease, item, chunk_id, first, count, kind == "detached"))
        self._forget_chunks()
        self._refused.clear()
        lease.slot = self._board.lease(
            leased.fence,
            self._indexes[queue],
            [(span.ref, span.n, span.first, span.count, span.priority) for span in lease.spans],
        )
        if lease.slot < 0:
            raise errors.InternalError(f"a lease of {lease.jobs} jobs does not fit on the board")
        self._leases.add(lease)
        clock_ns = boot_time_ns() - leased.now_ms * 1_000_000
        column = 0
        for span, (item, *_) in zip(lease.spans, spans, strict=True):
            span.column = column
            column += span.count
            self._start(span, item.redeliveries, clock_ns)
        return lease.jobs

    def _hold(
        self, lease: HeldLease, item: LeasedSpan, chunk_id: str, first: int, count: int, detached: bool
    ) -> HeldSpan:
        """Reads the payload of a leased span, as far as it can be read."""
        ref = item.ref if detached else chunk_id
        _, refused_n = self._refused.get(ref, (None, 0))
        span = HeldSpan(lease, ref, item.n or refused_n, first, count, item.priority)
        span.sequence = item.sequence
        try:
            if item.payload is None:
                raise errors.CorruptChunk("its payload is missing")
            if detached:
                span.record = JobRecord.decode(self._keyring.open_record(lease.queue, ref, item.payload))
            else:
                span.chunk = self._chunk(lease.queue, ref, item.payload, item.n)
                span.n = span.chunk.n
                if first + count > span.n:
                    span.chunk = None
                    raise errors.CorruptChunk(f"it has {span.n} jobs, not {first + count}")
        except (errors.NewerFormat, errors.MissingKey) as error:
            event(log, logging.WARNING, "cannot read chunk, leaving it to another worker", chunk=ref, reason=error)
            self.too_new.append(span)
        except errors.CorruptChunk as error:
            lease.outcomes += outcomes.unreadable(span, error, self._worker, item.payload)
        return span

    def _start(self, span: HeldSpan, redeliveries: int, clock_ns: int) -> None:
        """Hands the jobs of a readable span to the executors; clock_ns: the boot clock minus the server's."""
        if span.chunk is None and span.record is None:
            return
        around = self._composer.table(_types(span))
        span.keep_ms = around.keep_ms
        if span.record is not None and span.record.payload is None:
            span.lease.outcomes.append(outcomes.without_payload(span, span.record, self._worker))
            return
        if redeliveries > self._config.max_redeliveries:
            span.lease.outcomes += [
                outcomes.exhausted(span, index, redeliveries, self._worker)
                for index in range(span.first, span.first + span.count)
            ]
            return
        jobs = LeasedJobs(
            span.chunk,
            around.handlers,
            span.lease.slot,
            span.column,
            span.first,
            span.count,
            span.record.payload if span.record else None,
            span,
            self._limits(around.limits, span, redeliveries, clock_ns) if around.limits else None,
            around.before,
            around.after,
        )
        if span.record and span.record.crashes:
            self.suspects.append(jobs)
        else:
            self._backlog.push(jobs)

    def _limits(self, limits: list[Limits], span: HeldSpan, redeliveries: int, clock_ns: int) -> list[tuple[int, int]]:
        """What `LeasedJobs` needs to know of timeouts and expiry."""
        # What was started once in time is owed its further runs; of a redelivered job nobody knows whether it was.
        first_run = not redeliveries and not span.earlier_runs
        return [
            (limit.timeout_ms * 1_000_000, self._expires_ns(limit, span, clock_ns) if first_run else 0)
            for limit in limits
        ]

    def _expires_ns(self, limits: Limits, span: HeldSpan, clock_ns: int) -> int:
        """When a job expires, by the boot clock; 0 = never."""
        last_start_ms = limits.last_start_ms(span.sequence)
        return max(1, last_start_ms * 1_000_000 + clock_ns) if last_start_ms else 0

    def _chunk(self, queue: str, chunk_id: str, payload: bytes, n: int) -> Chunk:
        """Decodes a chunk, or finds it decoded."""
        if chunk_id in self._refused:
            raise self._refused[chunk_id][0]
        chunk = self._chunks.pop((queue, chunk_id), None)
        if chunk is None or payload:
            try:
                chunk = Chunk.decode(self._keyring.open_chunk(queue, chunk_id, payload))
            except errors.ChunkError as error:
                self._refused[chunk_id] = (error, n)
                raise
        if chunk.n > 1:
            self._chunks[queue, chunk_id] = chunk
        return chunk

    def _forget_chunks(self) -> None:
        """Keeps the latest chunks only; not in the middle of a lease, whose spans may share one."""
        while len(self._chunks) > _KEPT_CHUNKS:
            self._chunks.popitem(last=False)

    def _all_slow(self) -> bool:
        """Whether every thread is busy with a slow job: whatever was leased now would only be given back."""
        runs_s = longest_runs_s(self._board)
        return len(runs_s) == self._board.seats and min(runs_s) > _SLOW_JOB_S

    def _measure(self) -> None:
        """Follows what finished jobs cost on average."""
        executed, busy_ns = self._backlog.executed, self._backlog.busy_ns
        new_jobs = executed - self._measured[0]
        if new_jobs > 0:
            newest_s = (busy_ns - self._measured[1]) / new_jobs / 1e9
            self._average_s += _SMOOTHING * (max(newest_s, 1e-9) - self._average_s)
            self._measured = (executed, busy_ns)


def longest_runs_s(board: Board) -> list[float]:
    """Returns for how long each busy thread has been running its job, in seconds."""
    now_ns = boot_time_ns()
    return [(now_ns - started_ns) / 1e9 for *_, started_ns in board.running()]


def _types(span: HeldSpan) -> list[tuple[str, bytes]]:
    """The types of the span's jobs and their options, as a chunk tells them."""
    if span.record is not None:
        return [(span.record.type, orjson.dumps(span.record.options) if span.record.options else b"")]
    assert span.chunk is not None
    types: list[tuple[str, bytes]] = span.chunk.types
    return types
