"""Sends the chunks of a call, several at a time, and finds out what becomes of each.

There are three outcomes: it returns (stored), raises `NotEnqueued` (certainly not stored) or `EnqueueUnknown` (send
the same chunks again to be sure).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

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

E = TypeVar("E", bound=errors.FastJobsError)

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
        self._raised: BaseException | None = None
        self._durability = Durability(channel.store, self._in_doubt)

    def destination_of(self, line: Line, chosen_id: str) -> Destination:
        """Returns the destination of the job with a chosen id.

        Raises:
            NotEnqueued, EnqueueUnknown: the server could not be asked; the error says what became of earlier chunks.
        """
        try:
            return destination_of(self._store, line, chosen_id)
        except errors.StoreError as error:
            raise self._failure(error, of_oldest=False) from error

    def send_new(self, line: Line, destination: Destination, n: int, blob: bytes) -> None:
        """Sends the next chunk; errors as for `send`."""
        self._catch_up()
        self._require_disk(destination.partition)
        self._begin(PackedChunk(line, destination, n, blob, self._channel.sender.number(destination)))

    def send(self, chunk: PackedChunk) -> None:
        """Sends a chunk that has a number; waits for an earlier one when enough are on their way.

        Raises:
            NotEnqueued, EnqueueUnknown: what became of an earlier one.
            ConfigError: the server cannot store it as durably as was asked for; it is not sent.
        """
        self._catch_up()
        self._require_disk(chunk.partition)
        self._begin(chunk)

    def finish(self) -> None:
        """Waits until all chunks are stored, as durably as was asked for.

        Raises:
            NotEnqueued, EnqueueUnknown: one is not.
            JobIdConflict: all are, but those whose ids belong to other jobs.
        """
        self._wait()
        if self._taken:
            raise self._own(errors.JobIdConflict(self._taken[0], self._taken, self.stored))

    def abandon(self, error: BaseException) -> None:
        """Waits for the chunks sent before the caller's own error, and adds to the error what is stored.

        Raises:
            NotEnqueued, EnqueueUnknown: worse than the caller's error: it is not certain what is stored.
        """
        if not isinstance(error, Exception):
            # Interrupted: a number may be used up without a chunk.
            self._channel.sender.begin_anew()
        self._wait()
        if isinstance(error, errors.PayloadError) and error.enqueued is None:
            error.enqueued = self.stored
        error.add_note(f"fastjobs: {len(self.stored)} jobs were enqueued before this")
        if self._taken:
            error.add_note(f"fastjobs: {len(self._taken)} ids belong to other jobs, the first is {self._taken[0]!r}")

    def is_own(self, error: BaseException) -> bool:
        """Whether an error was raised here, and says itself what is stored."""
        return error is self._raised

    def _own(self, error: E) -> E:
        self._raised = error
        return error

    def _require_disk(self, partition: str) -> None:
        try:
            self._channel.disk.require(partition)
        except errors.ConfigError:
            # The chunk may have a number, which is not used.
            self._channel.sender.begin_anew()
            raise
        except errors.StoreError as error:
            raise self._failure(error, of_oldest=False) from error

    def _begin(self, chunk: PackedChunk) -> None:
        batch = self._store.batch()
        # Noted before it is sent: an interrupt in between must not hide a chunk that was stored.
        in_flight = Sent(chunk, batch, chunk.add_to(batch))
        is_first = not self._in_flight
        self._in_flight.append(in_flight)
        batch.send()
        self._channel.listed.ask(chunk.partition)
        if is_first:
            self._durability.begin()
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

    def _wait(self) -> None:
        while self._in_flight:
            self._take_one()
        self._durability.wait()

    def _take_one(self) -> None:
        """Takes the result of the oldest chunk on its way."""
        sent = self._in_flight[0]
        outcome = self._outcome(sent, self._store.config.retry_budget_s)
        if isinstance(outcome, errors.StoreError):
            raise self._failure(outcome) from outcome
        self._in_flight.popleft()
        self._note(sent, outcome)

    def _outcome(self, sent: Sent, budget_s: float) -> errors.FastJobsError | None:
        """Returns None when a chunk is stored, or else why it is not, or is in doubt."""
        try:
            sent.batch.result(PRODUCER_RETRIES, budget_s)
            taken = is_taken(self._store, sent, budget_s)
        except errors.StoreError as error:
            return error
        return errors.JobIdConflict(sent.chunk.id) if taken else None

    def _note(self, sent: Sent, conflict: errors.FastJobsError | None) -> None:
        """Notes a chunk that is stored, or whose id belongs to another job."""
        if conflict is not None:
            self._taken.append(sent.chunk.id)
        else:
            self.stored.add_chunk(sent.chunk.id, sent.chunk.n)
            self._durability.add(sent)
        if not sent.stored.value.is_new:
            self._channel.sender.note_unused()
        self._channel.listed.settle(sent.chunk.partition, is_first=sent.stored.value is Stored.FIRST)
        if conflict is None and self._progress is not None:
            self._progress(sent.chunk.n)

    def _failure(self, error: errors.StoreError, *, of_oldest: bool = True) -> errors.StoreError:
        """Returns what to raise: in doubt as soon as one chunk is; the others on their way are asked about once.

        Args:
            error: what failed.
            of_oldest: whether that is the outcome of the oldest chunk on its way; False = of a job that was not sent.
        """
        unknown: list[PackedChunk] = []
        refused = 0 if of_oldest else 1
        self._channel.sender.begin_anew()
        self._channel.listed.forget_requests()
        known: errors.FastJobsError | None = error if of_oldest else None
        while self._in_flight:
            sent = self._in_flight[0]
            outcome, known = known or self._outcome(sent, 0.0), None
            self._in_flight.popleft()
            if isinstance(outcome, errors.ConnectionLost):
                unknown.append(sent.chunk)
            elif isinstance(outcome, errors.StoreError):
                refused += sent.chunk.n
            else:
                self._note(sent, outcome)
        if unknown:
            number = sum(chunk.n for chunk in unknown)
            return self._in_doubt(f"the outcome of {number} jobs is unknown: {error}", unknown)
        return self._own(errors.NotEnqueued(f"{refused} jobs were not stored: {error}", self.stored))

    def _in_doubt(self, message: str, chunks: Sequence[PackedChunk]) -> errors.EnqueueUnknown:
        return self._own(in_doubt(message, chunks, self.stored, self._channel.here))


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
    except (errors.StoreError, errors.ConfigError) as error:
        stored = set(sending.stored)
        left = [chunk for chunk in chunks if job_id(chunk.id, 0, chunk.n) not in stored]
        raise in_doubt(f"still in doubt: {error}", left, sending.stored, here) from error
    return sending.stored
