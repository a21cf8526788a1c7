"""Turns a lease into jobs that the executor can run: reads payloads, sets aside what cannot be read or run."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import orjson

from fastjobs import errors
from fastjobs._core import Backlog, Chunk, LeasedJobs, boot_time_ns
from fastjobs.config import Config
from fastjobs.logs import event
from fastjobs.model.chance import chance
from fastjobs.model.record import JobRecord
from fastjobs.model.refs import split_ref
from fastjobs.model.time_limits import Limits
from fastjobs.store.replies import Lease, LeasedSpan
from fastjobs.store.sealing import Keyring
from fastjobs.worker import outcomes
from fastjobs.worker.leases import HeldLease, HeldLeases, HeldSpan
from fastjobs.worker.process.around import AroundTable, Composer
from fastjobs.worker.process.quarantine import Quarantine

log = logging.getLogger("fastjobs.worker")

#: Jobs that have come back from dead workers more often leave their chunk and run one at a time: each then has a count
#: of its own, and only the jobs that a worker was running when it died are counted.
_TOGETHER = 3
#: Such a job waits for so long at most before it runs again.
_LONGEST_APART_MS = 3_600_000
#: Decoded chunks kept because more of their jobs will probably be leased, and their bytes; the latest is kept anyway.
_KEPT_CHUNKS = 8
_KEPT_BYTES = 16 << 20


class PutOff(NamedTuple):
    """Jobs of a span that this process cannot run: another worker may."""

    span: HeldSpan
    first: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody calls
    #: Whether their types are unknown here; else their chunk is of a newer release, or sealed with an unknown key.
    unknown: bool


class Intake:
    """Takes leases in.

    Args:
        config: the app's settings.
        keyring: opens what is leased.
        backlog: where leased jobs wait for a seat, and its board.
        composer: knows what surrounds a job's handler.
        leases: the leases that the process holds.
        quarantine: where jobs go that killed a process before.
        worker: the worker's name, stored with errors.
    """

    def __init__(
        self,
        config: Config,
        keyring: Keyring,
        backlog: Backlog,
        composer: Composer,
        leases: HeldLeases,
        quarantine: Quarantine,
        worker: str,
    ) -> None:
        self._config = config
        self._together = min(_TOGETHER, config.max_redeliveries // 2)
        self._keyring = keyring
        self._backlog = backlog
        self._board = backlog.board
        self._composer = composer
        self._leases = leases
        self._quarantine = quarantine
        self._worker = worker
        self._indexes: dict[str, int] = {}
        #: By partition and id: a chunk that is genuine in one queue need not be in another.
        self._chunks: OrderedDict[tuple[str, str], Chunk] = OrderedDict()
        #: Unreadable chunks of the lease being taken in, with their size, which comes with the first span only.
        self._refused: dict[str, tuple[errors.ChunkError, int]] = {}
        #: Jobs that cannot be run here, to be put off.
        self.put_off: list[PutOff] = []

    def add_partitions(self, partitions: Sequence[str]) -> None:
        """Adds partitions; the board numbers them in the order they are added."""
        for name in partitions:
            self._indexes[name] = len(self._indexes)

    def held_chunks(self, partition: str) -> list[str]:
        """Returns the ids of a partition's chunks whose payload need not be sent again."""
        return [chunk_id for where, chunk_id in self._chunks if where == partition]

    def accept(self, partition: str, leased: Lease) -> int:
        """Takes a lease in and hands its jobs to the executors; returns how many."""
        spans = [(item, *split_ref(item.ref)) for item in leased.spans]
        lease = HeldLease(partition, leased.fence, -1, sum([span[3] for span in spans]))
        for item, chunk_id, first, count, kind in spans:
            lease.spans.append(self._hold(lease, item, chunk_id, first, count, kind == "detached"))
        lease.size += sum([chunk.size for chunk in {span.chunk for span in lease.spans if span.chunk is not None}])
        self._forget_chunks()
        self._refused.clear()
        arounds = [self._around(span) for span in lease.spans]
        lease.slot = self._board.lease(
            leased.fence,
            self._indexes[partition],
            [(span.ref, span.n, span.first, span.count, span.priority, span.keep_ms) for span in lease.spans],
        )
        if lease.slot < 0:
            raise errors.InternalError(f"a lease of {lease.jobs} jobs does not fit on the board")
        self._leases.add(lease)
        clock_ns = boot_time_ns() - leased.now_ms * 1_000_000
        column = 0
        for span, (item, *_), around in zip(lease.spans, spans, arounds, strict=True):
            span.column = column
            column += span.count
            if around is not None:
                self._start(span, item, around, clock_ns)
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
                lease.size += len(item.payload)
                span.record = JobRecord.decode(self._keyring.open_record(lease.partition, ref, item.payload))
            else:
                span.chunk = self._chunk(lease.partition, ref, item.payload, item.n)
                span.n = span.chunk.n
                if first + count > span.n:
                    span.chunk = None
                    raise errors.CorruptChunk(f"it has {span.n} jobs, not {first + count}")
        except (errors.NewerFormat, errors.MissingKey) as error:
            event(log, logging.WARNING, "cannot read chunk, leaving it to another worker", chunk=ref, reason=error)
            self.put_off.append(PutOff(span, first, count, unknown=False))
        except errors.CorruptChunk as error:
            lease.outcomes += outcomes.unreadable(span, error, self._worker, item.payload)
        return span

    def _around(self, span: HeldSpan) -> AroundTable | None:
        """What surrounds the handlers of a span's types, and how long its jobs are kept; None = it cannot be read."""
        if span.chunk is None and span.record is None:
            return None
        around = self._composer.table(_types(span))
        span.keep_ms = around.keep_ms
        return around

    def _start(self, span: HeldSpan, leased: LeasedSpan, around: AroundTable, clock_ns: int) -> None:
        """Hands the jobs of a readable span to the executors; clock_ns: the boot clock minus the server's."""
        redeliveries = leased.redeliveries + (span.record.redelivered if span.record else 0)
        if span.record is not None and span.record.payload is None:
            span.lease.outcomes.append(outcomes.without_payload(span, span.record, self._worker))
            return
        if redeliveries > self._together and self._keep_apart(span, leased, redeliveries):
            return
        if span.record is not None:
            span.beside = self._beside(span.record, redeliveries)
        limits = self._limits(around.limits, span, redeliveries, clock_ns) if around.limits else None
        for first, count in self._runnable(span, around, leased.rounds):
            jobs = LeasedJobs(
                span.chunk,
                around.handlers,
                span.lease.slot,
                span.column + first - span.first,
                first,
                count,
                span.record.payload if span.record else None,
                span,
                limits,
                around.before,
                around.after,
            )
            if span.beside:
                self._quarantine.suspects.append(jobs)
            else:
                self._backlog.push(jobs)

    def _beside(self, record: JobRecord, redeliveries: int) -> int:
        """With how many others a job may run at most, itself included; 0 = with any."""
        if redeliveries > self._together:
            return 1
        return max(1, (record.suspects + 1) // 2) if record.crashes else 0

    def _keep_apart(self, span: HeldSpan, leased: LeasedSpan, redeliveries: int) -> bool:
        """Ends or puts back jobs that came back from dead workers; returns False for one that is to be run alone now.

        Each process that held jobs of a chunk counts for the whole chunk. So jobs leave it, to count for themselves.
        """
        if span.record is None:
            self._set_apart(span, self._together + 1, 0)
        elif redeliveries > self._config.max_redeliveries:
            span.lease.outcomes.append(outcomes.exhausted(span, span.record, redeliveries, self._worker))
        elif leased.redeliveries:
            # The processes of a worker run one such job each. When it died, only one of these was to blame: so that it
            # does not run beside the same ones again, each waits for a time of its own, twice as long each time.
            most_ms = min(_LONGEST_APART_MS, self._config.lease_ms * 2.0 ** min(redeliveries - self._together, 32))
            self._set_apart(span, redeliveries, round(most_ms * chance.uniform(0.25, 1)))
        else:
            return False
        return True

    def _set_apart(self, span: HeldSpan, redeliveries: int, delay_ms: int) -> None:
        event(
            log,
            logging.WARNING,
            "jobs came back several times, running them one at a time",
            ref=span.ref,
            jobs=span.count,
            redeliveries=redeliveries,
            delay_ms=delay_ms,
        )
        indexes = range(span.first, span.first + span.count)
        span.lease.outcomes += [outcomes.set_apart(span, index, redeliveries, delay_ms) for index in indexes]

    def _runnable(self, span: HeldSpan, around: AroundTable, rounds: int) -> list[tuple[int, int]]:
        """(first, count) of the jobs of a span to be run here; puts neighbours of unknown types off together."""
        chunk, handlers = span.chunk, around.handlers
        if chunk is None or around.complete or rounds >= outcomes.UNKNOWN_LIMIT:
            return [(span.first, span.count)]
        runnable, start = [], span.first
        indexes = range(span.first, span.first + span.count)
        for known, run in groupby(indexes, lambda index: handlers[chunk.type_index(index)] is not None):
            first, count = start, len(list(run))
            start += count
            if known:
                runnable.append((first, count))
            else:
                self.put_off.append(PutOff(span, first, count, unknown=True))
        unknown = span.count - sum(count for _, count in runnable)
        if unknown:
            names = {name for (name, _), handler in zip(chunk.types, handlers, strict=True) if handler is None}
            event(
                log,
                logging.WARNING,
                "unknown job type, jobs postponed",
                chunk=span.ref,
                jobs=unknown,
                types=",".join(sorted(names)),
            )
        return runnable

    def _limits(self, limits: list[Limits], span: HeldSpan, redeliveries: int, clock_ns: int) -> list[tuple[int, int]]:
        """The timeouts and expiry times, as `LeasedJobs` takes them."""
        # A job that started in time once is owed its further runs; nobody knows whether a redelivered job did.
        first_run = not redeliveries and not span.earlier_runs
        return [
            (limit.timeout_ms * 1_000_000, self._expires_ns(limit, span, clock_ns) if first_run else 0)
            for limit in limits
        ]

    def _expires_ns(self, limits: Limits, span: HeldSpan, clock_ns: int) -> int:
        """When a job expires, by the boot clock; 0 = never."""
        last_start_ms = limits.last_start_ms(span.sequence)
        return max(1, last_start_ms * 1_000_000 + clock_ns) if last_start_ms else 0

    def _chunk(self, partition: str, chunk_id: str, payload: bytes, n: int) -> Chunk:
        """Decodes a chunk, or finds it decoded."""
        if chunk_id in self._refused:
            raise self._refused[chunk_id][0]
        chunk = self._chunks.pop((partition, chunk_id), None)
        if chunk is None or payload:
            try:
                chunk = Chunk.decode(self._keyring.open_chunk(partition, chunk_id, payload))
            except errors.ChunkError as error:
                self._refused[chunk_id] = (error, n)
                raise
        if chunk.n > 1:
            self._chunks[partition, chunk_id] = chunk
        return chunk

    def _forget_chunks(self) -> None:
        """Keeps the latest chunks only; not in the middle of a lease, whose spans may share one."""
        size = sum([chunk.size for chunk in self._chunks.values()])
        while len(self._chunks) > _KEPT_CHUNKS or (size > _KEPT_BYTES and len(self._chunks) > 1):
            size -= self._chunks.popitem(last=False)[1].size


def _types(span: HeldSpan) -> list[tuple[str, bytes]]:
    """The types of the span's jobs and their options, as a chunk's table has them."""
    if span.record is not None:
        return [(span.record.type, orjson.dumps(span.record.options) if span.record.options else b"")]
    assert span.chunk is not None
    types: list[tuple[str, bytes]] = span.chunk.types
    return types
