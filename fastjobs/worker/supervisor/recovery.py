"""Settles what a dead process left: acks what it earned, blames the jobs it was running, gives back the rest."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fastjobs import errors
from fastjobs._core import RUN_FINISHED, RUN_REPORTED, RUN_STARTED, Board, Chunk
from fastjobs.logs import event
from fastjobs.model.chance import chance
from fastjobs.model.outcome import Outcome, Run
from fastjobs.model.record import ErrorRecord, JobRecord
from fastjobs.model.retry import RetryPolicy
from fastjobs.model.stored import packed_chunk, record_body
from fastjobs.options import Options
from fastjobs.store.store import Store
from fastjobs.worker.leases import HeldLease, HeldSpan
from fastjobs.worker.outcomes import chunk_record

log = logging.getLogger("fastjobs.worker")

#: Delay before a job runs again whose process died, by how often that has happened.
_CRASH_DELAYS_MS = (0, 1_000, 5_000, 30_000)


class Recovered(NamedTuple):
    """Numbers of the jobs that were settled."""

    finished: int
    blamed: int
    given_back: int


def died_of(returncode: int) -> str:
    """Returns how a process ended, in words: `killed by SIGKILL` or `exited with code 3`."""
    if returncode < 0:
        try:
            return f"killed by {signal.Signals(-returncode).name}"
        except ValueError:
            # Real-time signals have no names.
            return f"killed by signal {-returncode}"
    return f"exited with code {returncode}"


class Recovery:
    """Settles the leases of one dead process.

    Args:
        store: the supervisor's.
        partitions: the partitions the process worked on, as the board numbers them.
        session: the dead process's session.
        worker: the worker's name.
        cause: how the process died.
        blame: whether the jobs it was running are charged with that; else they are given back like the others.
        overdue: (slot, column, started_ns) of the jobs because of which the supervisor killed it; others that were
            being run are given back then, without blame.
        policies: the retry policies of the job types.
    """

    def __init__(
        self,
        store: Store,
        partitions: Sequence[str],
        session: str,
        worker: str,
        cause: str,
        *,
        blame: bool = True,
        overdue: Sequence[tuple[int, int, int]] = (),
        policies: Mapping[str, RetryPolicy] | None = None,
    ) -> None:
        self._store = store
        self._partitions = partitions
        self._session = session
        self._worker = worker
        self._cause = cause
        self._blames = blame and not overdue
        self._overdue = overdue
        self._policies = policies or {}
        #: How many jobs the process was running.
        self._running = 0

    def run(self, board: Board) -> Recovered:
        """Reports the jobs on the board and closes the session.

        Raises:
            StoreError: the server does not serve; calling again later is safe, and so is never calling again.
        """
        finished = blamed = given_back = 0
        self._running = sum(states.count(RUN_STARTED) for slot, *_ in board.held() for *_, states in board.spans(slot))
        for slot, fence, number in board.held():
            partition = self._partitions[number]
            finished_runs = board.finished_runs(slot, self._worker.encode(), True)
            keep_ms = {ref: span_keep_ms for ref, *_, span_keep_ms, _ in board.spans(slot)}
            runs = [Run(*run, keep_ms[run[0]]) for run in finished_runs]
            outcomes = self._outcomes(board, HeldLease(partition, fence, slot, 0))
            if runs or outcomes:
                self._store.batch().ack(partition, self._session, fence, runs, outcomes).run()
            finished += sum(run.count for run in runs)
            blamed += len(outcomes)
        for partition in self._partitions:
            closed = False
            while not closed:
                jobs, closed = self._store.batch().close(partition, self._session).run()
                given_back += jobs
        return Recovered(finished, blamed, given_back)

    def _outcomes(self, board: Board, lease: HeldLease) -> list[Outcome]:
        """Outcomes of the jobs that were being run, and of detached jobs that had finished."""
        outcomes = []
        for ref, n, first, column, priority, keep_ms, states in board.spans(lease.slot):
            for position, state in enumerate(states):
                span = HeldSpan(lease, ref, n, first, len(states), priority, keep_ms, column=column)
                finished = n == 0 and state in (RUN_FINISHED, RUN_REPORTED)
                run = (lease.slot, column + position, board.started_ns(lease.slot, column + position))
                timed_out = state == RUN_STARTED and run in self._overdue
                crashed = state == RUN_STARTED and self._blames
                if not (finished or timed_out or crashed):
                    continue
                record = self._record(span, first + position)
                record.started_at_ms, record.run_s = board.times(lease.slot, column + position)
                record.worker = self._worker
                if finished:
                    outcomes.append(span.outcome(first, "finished", record))
                elif timed_out:
                    outcomes.append(self._time_out(span, first + position, record))
                else:
                    outcomes.append(self._blame(span, first + position, record))
        return outcomes

    def _record(self, span: HeldSpan, index: int) -> JobRecord:
        keyring, partition = self._store.keyring, span.lease.partition
        batch = self._store.batch()
        payload = (batch.stored_chunk if span.n else batch.stored_record)(partition, span.ref).run()
        try:
            if payload is None:
                raise errors.CorruptChunk("its payload is missing")
            if span.n == 0:
                return JobRecord.decode(keyring.open_record(partition, span.ref, record_body(payload)))
            span.chunk = Chunk.decode(keyring.open_chunk(partition, span.ref, packed_chunk(payload)))
            return chunk_record(span, index)
        except errors.ChunkError:
            return JobRecord(id=span.job_id(index), type="", payload=None)

    def _time_out(self, span: HeldSpan, index: int, record: JobRecord) -> Outcome:
        """A job that did not end after its timeout: a failed attempt like any other."""
        record.attempts += 1
        record.add_error(
            ErrorRecord(
                type="JobTimeout",
                message="went on after its timeout, or its hook did; its process was killed",
                attempt=record.attempts,
                at_ms=time.time_ns() // 1_000_000,
                worker=self._worker,
            )
        )
        default = RetryPolicy(self._store.config.retries)
        policy = Options.read_stored(record.options).retry(self._policies.get(record.type, default))
        fields = {"job": record.id, "type": record.type, "attempt": record.attempts, "error": "JobTimeout"}
        if record.failures > policy.retries:
            event(log, logging.ERROR, "job failed", **fields)
            return span.outcome(index, "failed", record)
        delay_ms = policy.delay_ms(record.failures, chance)
        event(log, logging.WARNING, "job will be retried", **fields, delay_ms=delay_ms)
        return span.outcome(index, "retrying", record, delay_ms)

    def _blame(self, span: HeldSpan, index: int, record: JobRecord) -> Outcome:
        """A job during which its process died: run again, in smaller groups and alone, until it has done so too often.

        Next to others it is charged once: it is one of them that did it.
        """
        record.suspects = self._running
        if self._running > 1 and record.crashes:
            event(log, logging.INFO, "job is a suspect, will be run with fewer others", job=record.id)
            return span.outcome(index, "scheduled", record)
        record.attempts += 1
        record.crashes += 1
        record.add_error(
            ErrorRecord(
                type="WorkerCrashed",
                message=f"the process that ran the job was {self._cause}",
                attempt=record.attempts,
                at_ms=time.time_ns() // 1_000_000,
                worker=self._worker,
            )
        )
        fields = {
            "job": record.id,
            "type": record.type,
            "attempt": record.attempts,
            "error": "WorkerCrashed",
            "crashes": record.crashes,
        }
        if record.crashes >= self._store.config.max_crashes and self._running == 1:
            event(log, logging.ERROR, "job failed", **fields, reason=self._cause)
            return span.outcome(index, "failed", record)
        delay_ms = _CRASH_DELAYS_MS[min(record.crashes, len(_CRASH_DELAYS_MS)) - 1]
        event(log, logging.WARNING, "job will be retried", **fields, delay_ms=delay_ms, reason=self._cause)
        return span.outcome(index, "retrying", record, delay_ms)
