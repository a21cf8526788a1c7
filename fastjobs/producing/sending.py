"""Sends the chunks of a call, several at a time, and finds out what becomes of each.

There are three outcomes: it returns (stored), raises `NotEnqueued` (certainly not stored) or `EnqueueUnknown` (send
the same ids again to be sure).
"""

from __future__ import annotations

from collections import deque

from fastjobs import errors
from fastjobs.job import JobIds
from fastjobs.producing.call import Line
from fastjobs.producing.destinations import Destination, destination_of
from fastjobs.producing.durability import Durability
from fastjobs.producing.listed_partitions import ListedPartitions
from fastjobs.producing.progress import Progress
from fastjobs.producing.sent import Sent
from fastjobs.producing.taken_ids import is_taken
from fastjobs.server.exchanges.single import PRODUCER_RETRIES
from fastjobs.store.replies import Stored
from fastjobs.store.store import Store

#: Chunks sent and not yet answered: the server works on one while the next ones are made.
_IN_FLIGHT = 8


class Sending:
    """The chunks of one call. Send them, then `finish`, or `abandon` when the caller's input ends in an error.

    Args:
        store: over a connection that nothing else uses meanwhile.
        listed: partitions that need not be listed; others get listed and added.
        progress: called with the number of jobs of each chunk that is stored.
    """

    def __init__(self, store: Store, listed: ListedPartitions, progress: Progress | None = None) -> None:
        self._store = store
        self._listed = listed
        self._progress = progress
        self._in_flight: deque[Sent] = deque()
        #: Ids of the jobs that are certainly stored.
        self.stored = JobIds()
        self._durability = Durability(store, self.stored)

    def destination_of(self, line: Line, job_id: str) -> Destination:
        """Returns the destination of the job with a chosen id.

        Raises:
            NotEnqueued, EnqueueUnknown: the server could not be asked; the error says what became of earlier chunks.
        """
        try:
            return destination_of(self._store, line, job_id)
        except errors.StoreError as error:
            raise self._failure(None, error) from error

    def send(self, line: Line, destination: Destination, n: int, blob: bytes) -> None:
        """Sends a chunk; waits for an earlier one when enough are on their way.

        Raises:
            JobIdConflict, NotEnqueued, EnqueueUnknown: what became of an earlier one.
        """
        partition, chunk_id = destination
        batch = self._store.batch()
        stored = batch.enqueue(
            partition, chunk_id, n, line.priority, blob, delay_ms=line.delay_ms, due_at_ms=line.due_at_ms
        )
        if partition not in self._listed:
            batch.list_partition(partition)
        batch.send()
        if not self._in_flight:
            self._durability.begin()
        self._in_flight.append(Sent(partition, chunk_id, n, blob, batch, stored))
        if len(self._in_flight) > _IN_FLIGHT:
            self._take_one()
        if self._durability.is_full:
            self.finish()

    def finish(self) -> None:
        """Waits until all chunks are stored, as durably as was asked for.

        Raises:
            JobIdConflict, NotEnqueued, EnqueueUnknown: one is not.
        """
        while self._in_flight:
            self._take_one()
        self._durability.wait()

    def abandon(self, error: BaseException) -> None:
        """Waits for the chunks sent before the caller's own error, and adds to the error what is stored.

        Raises:
            NotEnqueued, EnqueueUnknown: worse than the caller's error: it is not certain what is stored.
        """
        self.finish()
        if isinstance(error, errors.PayloadError):
            error.enqueued = self.stored
        error.add_note(f"fastjobs: {len(self.stored)} jobs were enqueued before this")

    def _take_one(self) -> None:
        """Takes the result of the oldest chunk on its way."""
        sent = self._in_flight.popleft()
        try:
            sent.batch.result(PRODUCER_RETRIES, self._store.config.retry_budget_s)
            taken = is_taken(self._store, sent)
        except errors.StoreError as error:
            raise self._failure(sent, error) from error
        if taken:
            self._take_rest()
            raise errors.JobIdConflict(sent.chunk_id)
        self._note_stored(sent)

    def _take_rest(self) -> None:
        """Takes the results of the chunks behind one whose id is taken: only that one is reported."""
        while self._in_flight:
            try:
                self._take_one()
            except errors.JobIdConflict:
                continue

    def _note_stored(self, sent: Sent) -> None:
        # Not before: a server that refused the chunk also refused to list its partition.
        self._listed.add(sent.partition)
        self.stored.add_chunk(sent.chunk_id, sent.n)
        self._durability.add(sent)
        if self._progress is not None:
            self._progress(sent.n)

    def _failure(self, failed: Sent | None, error: errors.StoreError) -> errors.StoreError:
        """Returns what to raise: in doubt as soon as one chunk is; the others on their way are asked about once.

        Args:
            failed: the chunk that failed; None = a job that was not sent.
            error: why.
        """
        unknown = JobIds()
        refused = int(failed is None)
        outcomes: list[tuple[Sent, errors.FastJobsError | None]] = [] if failed is None else [(failed, error)]
        outcomes += [(sent, _outcome(sent)) for sent in self._in_flight]
        self._in_flight.clear()
        for sent, reason in outcomes:
            if reason is None:
                self._note_stored(sent)
            elif isinstance(reason, errors.ConnectionLost):
                unknown.add_chunk(sent.chunk_id, sent.n)
            else:
                refused += sent.n
        if unknown:
            message = f"the outcome of {len(unknown)} jobs is unknown: {error}"
            return errors.EnqueueUnknown(message, unknown, self.stored)
        return errors.NotEnqueued(f"{refused} jobs were not stored: {error}", self.stored)


def _outcome(sent: Sent) -> errors.FastJobsError | None:
    """Returns what became of a chunk when the one before it failed; tries once."""
    try:
        sent.batch.result()
    except errors.StoreError as error:
        return error
    return errors.JobIdConflict(sent.chunk_id) if sent.stored.value is Stored.CONFLICT else None
