"""Sends the chunks of a call, several at a time, and finds out what becomes of each.

There are three outcomes: it returns (stored), raises `NotEnqueued` (certainly not stored) or `EnqueueUnknown` (send
the same chunks again to be sure).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from fastjobs import errors
from fastjobs.job import JobIds
from fastjobs.model.refs import job_id
from fastjobs.producing.call import Line
from fastjobs.producing.channel import Channel
from fastjobs.producing.destinations import Destination, destination_of
from fastjobs.producing.durability import Durability
from fastjobs.producing.progress import Progress
from fastjobs.producing.sent import PackedChunk, Sent
from fastjobs.producing.taken_ids import is_taken
from fastjobs.server.exchanges.single import PRODUCER_RETRIES
from fastjobs.store.replies import Stored

#: Chunks sent and not yet answered: the server works on one while the next ones are made.
_IN_FLIGHT = 8


class Sending:
    """The chunks of one call. Send them, then `finish`, or `abandon` when the caller's input ends in an error.

    Args:
        channel: of the calling thread.
        progress: called with the number of jobs of each chunk that is stored.
    """

    def __init__(self, channel: Channel, progress: Progress | None = None) -> None:
        self._channel = channel
        self._store = channel.store
        self._progress = progress
        #: Chunks whose outcome is not known yet, in the order they were sent in.
        self._in_flight: deque[Sent] = deque()
        #: Ids of the jobs that are certainly stored.
        self.stored = JobIds()
        #: Chosen ids that belong to other jobs.
        self._taken: list[str] = []
        self._durability = Durability(channel.store, self._in_doubt)

    def destination_of(self, line: Line, chosen_id: str) -> Destination:
        """Returns the destination of the job with a chosen id.

        Raises:
            NotEnqueued, EnqueueUnknown: the server could not be asked; the error says what became of earlier chunks.
        """
        try:
            return destination_of(self._store, line, chosen_id)
        except errors.StoreError as error:
            raise self._failure(None, error) from error

    def send_new(self, line: Line, destination: Destination, n: int, blob: bytes) -> None:
        """Sends the next chunk; errors as for `send`."""
        self._catch_up()
        self._begin(PackedChunk(line, destination, n, blob, self._channel.sender.number(destination)))

    def send(self, chunk: PackedChunk) -> None:
        """Sends a chunk that has a number; waits for an earlier one when enough are on their way.

        Raises:
            NotEnqueued, EnqueueUnknown: what became of an earlier one.
        """
        self._catch_up()
        self._begin(chunk)

    def finish(self) -> None:
        """Waits until all chunks are stored, as durably as was asked for.

        Raises:
            NotEnqueued, EnqueueUnknown: one is not.
            JobIdConflict: all are, but those whose ids belong to other jobs.
        """
        self._wait()
        if self._taken:
            raise errors.JobIdConflict(self._taken[0])

    def abandon(self, error: BaseException) -> None:
        """Waits for the chunks sent before the caller's own error, and adds to the error what is stored.

        Raises:
            NotEnqueued, EnqueueUnknown: worse than the caller's error: it is not certain what is stored.
        """
        self._wait()
        if isinstance(error, errors.PayloadError):
            error.enqueued = self.stored
        error.add_note(f"fastjobs: {len(self.stored)} jobs were enqueued before this")

    def _wait(self) -> None:
        while self._in_flight:
            self._take_one()
        self._durability.wait()

    def _begin(self, chunk: PackedChunk) -> None:
        batch = self._store.batch()
        stored = chunk.add_to(batch)
        batch.send()
        self._channel.listed.ask(chunk.partition)
        if not self._in_flight:
            self._durability.begin()
        self._in_flight.append(Sent(chunk, batch, stored))
        if len(self._in_flight) > _IN_FLIGHT:
            self._take_one()
        if self._durability.is_full:
            self._wait()

    def _catch_up(self) -> None:
        """Takes the results that have come; what must be sent again goes before anything newer, in its order."""
        while self._in_flight and (
            self._in_flight[0].batch.ready() or any(sent.batch.has_failed for sent in self._in_flight)
        ):
            self._take_one()

    def _take_one(self) -> None:
        """Takes the result of the oldest chunk on its way."""
        sent = self._in_flight.popleft()
        try:
            sent.batch.result(PRODUCER_RETRIES, self._store.config.retry_budget_s)
            taken = is_taken(self._store, sent)
        except errors.StoreError as error:
            raise self._failure(sent, error) from error
        if taken:
            self._taken.append(sent.chunk.id)
            self._channel.sender.note_unused()
        else:
            self._note_stored(sent)

    def _note_stored(self, sent: Sent) -> None:
        self._channel.listed.settle(sent.chunk.partition)
        if sent.stored.value is not Stored.CREATED:
            self._channel.sender.note_unused()
        self.stored.add_chunk(sent.chunk.id, sent.chunk.n)
        self._durability.add(sent)
        if self._progress is not None:
            self._progress(sent.chunk.n)

    def _failure(self, failed: Sent | None, error: errors.StoreError) -> errors.StoreError:
        """Returns what to raise: in doubt as soon as one chunk is; the others on their way are asked about once.

        Args:
            failed: the chunk that failed; None = a job that was not sent.
            error: why.
        """
        unknown: list[PackedChunk] = []
        refused = int(failed is None)
        outcomes: list[tuple[Sent, errors.FastJobsError | None]] = [] if failed is None else [(failed, error)]
        outcomes += [(sent, _outcome(sent)) for sent in self._in_flight]
        self._in_flight.clear()
        self._channel.sender.begin_anew()
        self._channel.listed.forget_requests()
        for sent, reason in outcomes:
            if reason is None:
                self._note_stored(sent)
            elif isinstance(reason, errors.ConnectionLost):
                unknown.append(sent.chunk)
            else:
                refused += sent.chunk.n
        if unknown:
            number = sum(chunk.n for chunk in unknown)
            return self._in_doubt(f"the outcome of {number} jobs is unknown: {error}", unknown)
        return errors.NotEnqueued(f"{refused} jobs were not stored: {error}", self.stored)

    def _in_doubt(self, message: str, chunks: Sequence[PackedChunk]) -> errors.EnqueueUnknown:
        return in_doubt(message, chunks, self.stored, self._channel.here)


def _outcome(sent: Sent) -> errors.FastJobsError | None:
    """Returns what became of a chunk when the one before it failed; tries once."""
    try:
        sent.batch.result()
    except errors.StoreError as error:
        return error
    return errors.JobIdConflict(sent.chunk.id) if sent.stored.value is Stored.CONFLICT else None


def in_doubt(
    message: str, chunks: Sequence[PackedChunk], stored: Sequence[str], here: Callable[[], Channel]
) -> errors.EnqueueUnknown:
    """Returns the error for chunks whose outcome is unknown; `here` as for `resend`."""
    ids = JobIds()
    for chunk in chunks:
        ids.add_chunk(chunk.id, chunk.n)
    return errors.EnqueueUnknown(message, ids, stored, partial(resend, here, chunks))


def resend(here: Callable[[], Channel], chunks: Sequence[PackedChunk]) -> Sequence[str]:
    """Sends chunks again whose outcome is unknown, under their ids and numbers.

    Args:
        here: returns the channel of the calling thread.
        chunks: in the order they were sent in.

    Returns:
        The ids of their jobs; all are stored.

    Raises:
        EnqueueUnknown: some are still in doubt, whatever the error: it only says that they were not stored just now.
        JobIdConflict: all are stored, but those whose ids belong to other jobs.
    """
    sending = Sending(here())
    try:
        for chunk in chunks:
            sending.send(chunk)
        sending.finish()
    except errors.StoreError as error:
        stored = set(sending.stored)
        left = [chunk for chunk in chunks if job_id(chunk.id, 0, chunk.n) not in stored]
        raise in_doubt(f"still in doubt: {error}", left, sending.stored, here) from error
    return sending.stored
