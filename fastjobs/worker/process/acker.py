"""Reports what became of leased jobs: runs that finished, outcomes of the others, jobs given back unstarted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastjobs._core import Board, LeasedJobs
from fastjobs.model.outcome import Outcome, Run
from fastjobs.store.batch import Reply
from fastjobs.store.store import Batch
from fastjobs.worker.leases import HeldLease, HeldLeases, HeldSpan
from fastjobs.worker.outcomes import UNKNOWN_DELAY_CAP_S
from fastjobs.worker.process.intake import PutOff

#: Most runs, and most outcomes, in one call: a script that takes a thousand failures would hold up everybody.
_ACK_LIMIT = 32
#: How long another worker has to take jobs over that this process cannot read ...
_UNREADABLE_DELAY_MS = 30_000
#: ... or does not know the type of: at first, and at most.
_UNKNOWN_DELAYS_MS = (1_000, UNKNOWN_DELAY_CAP_S * 1_000)

#: Takes the reply to a call in: settles leases, or finds that the session is fenced.
Receipt = Callable[[], None]


class Acker:
    """Adds acks and releases to the batches of the process's main loop.

    A report is remembered only by the state on the board until the server has confirmed it, so
    whatever is lost on the way (also this process) can be reported again.

    Args:
        board: the process's progress board.
        leases: the leases it holds.
        session: the session they belong to.
        worker: the worker's name, stored with run times.
        on_fenced: called with a queue and the reports the server has refused, because the session's jobs belong to
            others; none of them when it refused to take unstarted jobs back.
    """

    def __init__(
        self,
        board: Board,
        leases: HeldLeases,
        session: str,
        worker: str,
        on_fenced: Callable[[str, Sequence[Run | Outcome]], None],
    ) -> None:
        self._board = board
        self._leases = leases
        self._session = session
        self._worker = worker
        self._on_fenced = on_fenced
        #: Seconds until the first retry among what was reported last; None without one.
        self.retry_in_s: float | None = None

    def add_acks(self, batch: Batch) -> list[Receipt]:
        """Adds one ack for each lease of which something is to be reported."""
        receipts = []
        delays_ms = []
        for lease in self._leases:
            runs = self._finished_runs(lease)
            outcomes, lease.outcomes = lease.outcomes, []
            outcomes += self._finished_records(lease)
            delays_ms += [outcome.delay_ms for outcome in outcomes if outcome.status == "retrying"]
            while runs or outcomes:
                some, runs = runs[:_ACK_LIMIT], runs[_ACK_LIMIT:]
                others, outcomes = outcomes[:_ACK_LIMIT], outcomes[_ACK_LIMIT:]
                number = sum(run.count for run in some) + len(others)
                reply = batch.ack(lease.partition, self._session, lease.fence, some, others)
                receipts.append(self._receipt(reply, lease, number, [*some, *others]))
        self.retry_in_s = min(delays_ms) / 1000 if delays_ms else None
        return receipts

    def add_releases(self, batch: Batch, withdrawn: list[tuple[LeasedJobs, int, int]]) -> list[Receipt]:
        """Adds what gives jobs back that the backlog no longer holds."""
        refs: dict[HeldLease, tuple[list[str], int]] = {}
        for jobs, first, count in withdrawn:
            span: HeldSpan = jobs.owner
            parts, number = refs.get(span.lease, ([], 0))
            refs[span.lease] = ([*parts, span.part(first, count)], number + count)
        receipts = []
        for lease, (parts, number) in refs.items():
            reply = batch.release(lease.partition, self._session, lease.fence, parts)
            receipts.append(self._receipt(reply, lease, number, []))
        return receipts

    def add_postponed(self, batch: Batch, put_off: Sequence[PutOff]) -> list[Receipt]:
        """Adds what puts jobs off that this process cannot run, with one call for all of a lease."""
        calls: dict[tuple[HeldLease, bool], list[PutOff]] = {}
        for item in put_off:
            calls.setdefault((item.span.lease, item.unknown), []).append(item)
        receipts = []
        for (lease, unknown), items in calls.items():
            refs = [item.span.part(item.first, item.count) for item in items]
            first_ms, most_ms = _UNKNOWN_DELAYS_MS if unknown else (_UNREADABLE_DELAY_MS, 0)
            reply = batch.postpone(lease.partition, self._session, lease.fence, first_ms, refs, most_ms=most_ms)
            receipts.append(self._receipt(reply, lease, sum(item.count for item in items), []))
        return receipts

    def _receipt(self, reply: Reply[int], lease: HeldLease, number: int, reports: list[Run | Outcome]) -> Receipt:
        def settle() -> None:
            if reply.value < 0:
                self._on_fenced(lease.partition, reports)
            else:
                self._leases.settle(lease, number)

        return settle

    def _finished_runs(self, lease: HeldLease) -> list[Run]:
        """Runs of jobs that finished in their chunks."""
        runs = self._board.finished_runs(lease.slot, self._worker.encode(), False)
        if not runs:
            return []
        keep_ms = {span.ref: span.keep_ms for span in lease.spans}
        return [Run(*run, keep_ms[run[0]]) for run in runs]

    def _finished_records(self, lease: HeldLease) -> list[Outcome]:
        """Outcomes of detached jobs that finished."""
        outcomes = []
        for span in lease.spans:
            if span.record is None or not self._board.report(lease.slot, span.column):
                continue
            span.record.worker = self._worker
            span.record.started_at_ms, span.record.run_s = self._board.times(lease.slot, span.column)
            outcomes.append(span.outcome(span.first, "finished", span.record))
        return outcomes
