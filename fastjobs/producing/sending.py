"""Chunks on their way to the server: several in flight, three outcomes, durability.

The outcomes: it returns (stored), raises `NotEnqueued` (certainly not stored) or `EnqueueUnknown` (send the
same ids again to be sure).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import orjson

from fastjobs import errors
from fastjobs._core import Chunk, new_id
from fastjobs.job import JobIds
from fastjobs.model.partitions import Partitioner, chunk_id_in, earlier_places, partition_name
from fastjobs.model.record import JobRecord
from fastjobs.model.refs import job_ref
from fastjobs.model.stored import packed_chunk, record_body
from fastjobs.model.times import now_ms
from fastjobs.server.exchanges.single import PRODUCER_RETRIES
from fastjobs.store.batch import Reply
from fastjobs.store.replies import Stored
from fastjobs.store.sealing import CONTENT_START
from fastjobs.store.store import Batch, Store

#: Chunks sent and not yet answered: the server works on one while the next ones are made.
_IN_FLIGHT = 8

#: Chunks that are kept until they are known to be as safe as was asked for: a server may forget what it has stored.
_UNSAFE = 32

#: Called with the number of jobs that were stored.
Progress = Callable[[int], None]


class Line(NamedTuple):
    """Where a chunk goes: jobs that share it can share a chunk."""

    queue: str
    priority: int
    delay_ms: int
    due_at_ms: int
    #: The partition it has to go to; None = any.
    partition: int | None = None


class Place(NamedTuple):
    """Where a chunk is stored: in which partition, under which id."""

    partition: str
    chunk_id: str


def new_place(partitioner: Partitioner, line: Line) -> Place:
    """Returns a place for the next chunk of a line."""
    number = partitioner.next(line.queue) if line.partition is None else line.partition
    return Place(partition_name(line.queue, number), chunk_id_in(new_id(), number))


class ListedPartitions:
    """Partitions that this producer has listed as used, so that workers who do not know of them find them.

    Each is listed again now and then: a server that has taken over from another may have missed it.
    """

    _AGAIN_S = 60.0

    def __init__(self) -> None:
        self._listed_at: dict[str, float] = {}

    def __contains__(self, partition: str) -> bool:
        """Whether it need not be listed now."""
        listed_at = self._listed_at.get(partition)
        return listed_at is not None and time.monotonic() < listed_at + self._AGAIN_S

    def add(self, partition: str) -> None:
        """Notes that it is listed."""
        if partition not in self:
            self._listed_at[partition] = time.monotonic()


class _Sent(NamedTuple):
    partition: str
    chunk_id: str
    n: int
    blob: bytes
    batch: Batch
    stored: Reply[Stored]


class Sending:
    """The chunks of one call. Send them, then `finish`, or `abandon` when the caller's input ends in an error.

    Args:
        store: over a connection that nothing else uses meanwhile.
        listed: partitions that need not be listed; others get listed and added.
        progress: told about stored jobs.
    """

    def __init__(self, store: Store, listed: ListedPartitions, progress: Progress | None = None) -> None:
        self._store = store
        self._listed = listed
        self._progress = progress
        self._in_flight: deque[_Sent] = deque()
        #: Stored, but not known to be as safe as was asked for; and over which connection the first of them was sent.
        self._unsafe: list[_Sent] = []
        self._generation = store.client.generation
        #: Ids of the jobs that are certainly stored.
        self.stored = JobIds()

    def place_of(self, line: Line, job_id: str) -> Place:
        """Returns the place of the job with a chosen id: where it is already, or else where it belongs.

        Raises:
            NotEnqueued, EnqueueUnknown: that could not be found out; what became of chunks sent before.
        """
        count = self._store.config.partitions_of(line.queue)
        if count == 1:
            return Place(line.queue, job_id)
        # Where it was stored when there were fewer partitions, it must be found again, not stored twice.
        pinned = [] if line.partition is None else [line.partition]
        names = [partition_name(line.queue, number) for number in pinned + earlier_places(job_id, count)]
        batch = self._store.batch()
        looks = [(name, batch.has_chunk(name, job_id), batch.has_record(name, job_ref(job_id, 0))) for name in names]
        try:
            batch.run(PRODUCER_RETRIES, self._store.config.retry_budget_s)
        except errors.StoreError as error:
            raise self._failure(None, error) from error
        for name, in_chunk, detached in looks:
            if in_chunk.value or detached.value:
                return Place(name, job_id)
        return Place(names[0], job_id)

    def send(self, line: Line, place: Place, n: int, blob: bytes) -> None:
        """Sends a chunk; waits for an earlier one when enough are on their way.

        Raises:
            JobIdConflict, NotEnqueued, EnqueueUnknown: what became of an earlier one.
        """
        batch = self._store.batch()
        stored = batch.enqueue(
            place.partition,
            place.chunk_id,
            n,
            line.priority,
            blob,
            delay_ms=line.delay_ms,
            due_at_ms=line.due_at_ms,
        )
        if place.partition not in self._listed:
            batch.list_partition(place.partition)
        batch.send()
        if not self._in_flight and not self._unsafe:
            self._generation = self._store.client.generation
        self._in_flight.append(_Sent(place.partition, place.chunk_id, n, blob, batch, stored))
        if len(self._in_flight) > _IN_FLIGHT:
            self._take_one()
        if len(self._unsafe) > _UNSAFE:
            self.finish()

    def finish(self) -> None:
        """Waits until all is stored, as durably as was asked for.

        Raises:
            JobIdConflict, NotEnqueued, EnqueueUnknown: something is not.
        """
        while self._in_flight:
            self._take_one()
        self._make_durable()

    def abandon(self, error: BaseException) -> None:
        """Waits for what was sent before the caller's own error and lets the error tell what is stored.

        Raises:
            NotEnqueued, EnqueueUnknown: worse than the caller's error: it is not certain what is stored.
        """
        self.finish()
        if isinstance(error, errors.PayloadError):
            error.enqueued = self.stored
        error.add_note(f"fastjobs: {len(self.stored)} jobs were enqueued before this")

    def _take_one(self) -> None:
        """Takes in the result of the oldest chunk on its way."""
        sent = self._in_flight.popleft()
        try:
            sent.batch.result(PRODUCER_RETRIES, self._store.config.retry_budget_s)
            result = sent.stored.value
            taken = (result is Stored.CONFLICT and not self._is_resealed(sent)) or (
                result is Stored.DETACHED and not self._is_same(sent)
            )
        except errors.StoreError as error:
            raise self._failure(sent, error) from error
        if taken:
            self._take_rest()
            raise errors.JobIdConflict(sent.chunk_id)
        self._note_stored(sent)

    def _is_resealed(self, sent: _Sent) -> bool:
        """Whether what has this id is the same job, but was sealed with another key: the script cannot tell."""
        keyring = self._store.keyring
        if not keyring.seals:
            return False
        stored = self._ask(self._store.batch().stored_chunk(sent.partition, sent.chunk_id))
        if stored is None:
            return self._is_same(sent)
        try:
            there = keyring.open_chunk(sent.partition, sent.chunk_id, packed_chunk(stored))
        except errors.ChunkError:
            return False
        return there[CONTENT_START:] == sent.blob[CONTENT_START:]

    def _ask(self, reply: Reply[bytes | None]) -> bytes | None:
        try:
            return reply.run(PRODUCER_RETRIES, self._store.config.retry_budget_s)
        except errors.StoreError as error:
            raise errors.ConnectionLost(f"the id is taken, it is not known by which job: {error}") from error

    def _is_same(self, sent: _Sent) -> bool:
        """Whether the job that has this id, and left its chunk, is the very one that was sent (before)."""
        stored = self._ask(self._store.batch().stored_record(sent.partition, job_ref(sent.chunk_id, 0)))
        if stored is None:
            # It was destroyed or trimmed a moment ago.
            return True
        try:
            body = self._store.keyring.open_record(sent.partition, job_ref(sent.chunk_id, 0), record_body(stored))
            record = JobRecord.decode(body)
        except errors.ChunkError:
            return False
        chunk = Chunk.decode(sent.blob)
        name, options = chunk.types[0]
        same_options = record.options == (orjson.loads(options) if options else {})
        return record.type == name and record.payload == orjson.loads(chunk.payload(0)) and same_options

    def _take_rest(self) -> None:
        """Takes in what is on its way behind a chunk whose id is taken: its error tells, and only that one."""
        while self._in_flight:
            try:
                self._take_one()
            except errors.JobIdConflict:
                continue

    def _note_stored(self, sent: _Sent) -> None:
        # Not before: a server that refused the chunk also refused to list its partition.
        self._listed.add(sent.partition)
        self.stored.add_chunk(sent.chunk_id, sent.n)
        if self._store.config.durability != "fire":
            self._unsafe.append(sent)
        if self._progress is not None:
            self._progress(sent.n)

    def _failure(self, failed: _Sent | None, error: errors.StoreError) -> errors.StoreError:
        """What to raise: in doubt as soon as one chunk is; the others on their way are asked about once.

        Args:
            failed: the chunk that failed; None = a job that was not sent.
            error: why.
        """
        unknown = JobIds()
        refused = int(failed is None)
        outcomes: list[tuple[_Sent, errors.FastJobsError | None]] = [] if failed is None else [(failed, error)]
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

    def _make_durable(self) -> None:
        """Waits until what is stored is as safe as was asked for.

        The wait speaks for one connection to one server. If another has taken over meanwhile, it may not have what the
        one before had stored: then that is sent again, and waited for again.
        """
        deadline = time.monotonic() + self._store.config.retry_budget_s
        while self._unsafe:
            self._wait_for_copies()
            if self._generation == self._store.client.generation:
                self._unsafe.clear()
            else:
                self._generation = self._store.client.generation
                self._send_unsafe_again(deadline)

    def _wait_for_copies(self) -> None:
        """Waits once for all chunks of a server: a wait covers every write before it."""
        config = self._store.config
        timeout_ms = max(1, int(config.socket_timeout_s * 900))
        partitions = list(dict.fromkeys(sent.partition for sent in self._unsafe))
        batch = self._store.batch()
        reached = []
        for partition in partitions if self._store.is_cluster else partitions[-1:]:
            # A write of its own, should the connection that stored the chunks have been lost meanwhile.
            batch.note_durable(partition, now_ms())
            on_disk = config.durability == "fsync"
            reached.append(
                batch.wait_for_disk(timeout_ms) if on_disk else batch.wait_for_replicas(config.replicas, timeout_ms)
            )
        try:
            batch.run(PRODUCER_RETRIES, config.retry_budget_s)
        except errors.StoreError as error:
            if "unknown command" in str(error):
                raise errors.ConfigError(
                    "durability='fsync' needs WAITAOF (Redis 7.2 or Valkey);"
                    " on this server set `appendfsync always` and use durability='fire'"
                ) from error
            raise self._not_safe(f"stored, but it is not known how safely: {error}") from error
        copies = min(reply.value for reply in reached)
        if copies < (1 if config.durability == "fsync" else config.replicas):
            on_replicas = f"{config.replicas} replicas, only {copies}"
            place = "the server's disk" if config.durability == "fsync" else on_replicas
            raise self._not_safe(f"stored, but not on {place} within {timeout_ms} ms")

    def _send_unsafe_again(self, deadline: float) -> None:
        try:
            for sent in self._unsafe:
                sent.batch.send()
            for sent in self._unsafe:
                sent.batch.result(PRODUCER_RETRIES, max(0.0, deadline - time.monotonic()))
        except errors.StoreError as error:
            raise self._not_safe(f"a server may have forgotten what it had stored: {error}") from error
        if time.monotonic() > deadline:
            raise self._not_safe("servers take over from each other all the time")

    def _not_safe(self, message: str) -> errors.EnqueueUnknown:
        self._unsafe.clear()
        return errors.EnqueueUnknown(message, self.stored, self.stored)


def send_one(store: Store, listed: ListedPartitions, line: Line, place: Place, blob: bytes) -> None:
    """Stores a chunk of one and waits for it; arguments and errors as for `Sending`.

    The usual case, a new job for a partition that is known, takes the short way.
    """
    partition, chunk_id = place
    if partition in listed and store.config.durability == "fire":
        stored = store.batch().enqueue(
            partition, chunk_id, 1, line.priority, blob, delay_ms=line.delay_ms, due_at_ms=line.due_at_ms
        )
        try:
            result = stored.run(PRODUCER_RETRIES, store.config.retry_budget_s)
        except errors.ConnectionLost as error:
            raise errors.EnqueueUnknown(f"the outcome of job {chunk_id} is unknown: {error}", [chunk_id]) from error
        except errors.StoreError as error:
            raise errors.NotEnqueued(f"job {chunk_id} was not stored: {error}") from error
        if result is Stored.CREATED or result is Stored.EXISTING:
            return
    # Sent before or not, it may be sent again.
    sending = Sending(store, listed)
    sending.send(line, place, 1, blob)
    sending.finish()


def _outcome(sent: _Sent) -> errors.FastJobsError | None:
    """What became of a chunk when the one before it failed; one try."""
    try:
        sent.batch.result()
    except errors.StoreError as error:
        return error
    return errors.JobIdConflict(sent.chunk_id) if sent.stored.value is Stored.CONFLICT else None
