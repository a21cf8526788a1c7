"""Recurring jobs as seen by the app: defining, finding and changing them. Firing them is the workers' business."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import orjson

from fastjobs import errors, importing
from fastjobs._core import Chunk, ChunkWriter, new_id
from fastjobs.job import Job, JobActions
from fastjobs.logs import event
from fastjobs.model.definition import Definition, RecurringPolicy, check_id, check_policy
from fastjobs.model.names import check_key_part
from fastjobs.model.refs import run_id
from fastjobs.model.schedules import Schedule
from fastjobs.model.secret import with_secrets
from fastjobs.model.times import instant, now_ms
from fastjobs.producing.call import Call
from fastjobs.server.exchanges.single import PRODUCER_RETRIES
from fastjobs.store.batch import Reply
from fastjobs.store.store import Store

T = TypeVar("T")

log = logging.getLogger("fastjobs")

#: Definitions read at a time.
_PAGE = 500
#: A definition that changes this often between reading it and acting on it is not left in peace.
_MAX_TRIES = 20


class Recurring:
    """A handle of one recurring job: what was known of it when it was defined, found or last refreshed.

    Attributes:
        id: its id.
        queue: the queue its runs go to.
        type: name of its job type.
        args: positional arguments of its runs.
        kwargs: keyword arguments of its runs.
        schedule: `every <interval ms> <start ms>` or `cron <time zone> <expression>`.
        priority: of its runs.
        version: of the definition.
        missed: `latest`, `all` or `skip`.
        overlap: `skip` or `allow`.
        paused: whether it waits for `resume`.
        next_due: when it is due next; None while it is paused.
        last_due: due instant of its last run (of one asked for with `run_now`: when that was); None before the first.
        definition: all of it, as stored.
        last_run: its last run, a handle to be refreshed before use, as the run's history may be gone; None before the
            first.
    """

    def __init__(self, recurring: RecurringJobs, queue: str, definition: Definition) -> None:
        self._recurring = recurring
        self.id = definition.id
        self.queue = queue
        self._fill(definition)

    def _fill(self, definition: Definition) -> None:
        self.definition = definition
        self.type = definition.type
        payload = with_secrets(definition.payload)
        self.args: list[Any] = payload[:-1]
        self.kwargs: dict[str, Any] = payload[-1]
        self.schedule = definition.schedule.text
        self.priority = definition.priority
        self.version = definition.version
        self.missed = definition.missed
        self.overlap = definition.overlap
        self.paused = definition.paused
        self.next_due = None if definition.paused else instant(definition.due_ms)
        self.last_due = instant(definition.last_due_ms) if definition.last_due_ms else None
        self.last_run = self._recurring.run_of(self.queue, definition)

    def refresh(self) -> Recurring:
        """Loads the present state into this handle and returns it.

        Raises:
            RecurringNotFound: it was cancelled, or its runs now go to another queue.
        """
        self._fill(self._recurring.load(self.queue, self.id))
        return self

    def pause(self) -> None:
        """Lets no further run begin until `resume`; runs that are enqueued already stay. Safe to repeat.

        Raises:
            RecurringNotFound: it was cancelled.
        """
        self._recurring.pause(self.queue, self.id)
        self.refresh()

    def resume(self) -> None:
        """Ends a pause. Goes on with the next due instant; what was due during the pause is left out. Safe to repeat.

        Raises:
            RecurringNotFound: it was cancelled.
        """
        self._recurring.resume(self.queue, self.id)
        self.refresh()

    def cancel(self) -> bool:
        """Removes it for good; runs that are enqueued already stay. Safe to repeat.

        Returns:
            Whether it was still there.
        """
        return self._recurring.cancel(self.queue, self.id)

    def run_now(self) -> Job:
        """Enqueues a run at once, also during a pause; the schedule stays as it is.

        Returns:
            The run; with `overlap="skip"`, while an earlier run is not done, that one instead.

        Raises:
            RecurringNotFound: it was cancelled.
            ConfigError: a worker or a command is importing the app: each process would run it once more.
        """
        job = self._recurring.run_now(self.queue, self.id)
        self.refresh()
        return job

    def __repr__(self) -> str:
        state = " paused" if self.paused else ""
        return f"<Recurring {self.id} {self.type} {self.schedule!r} queue={self.queue}{state}>"


class RecurringJobs:
    """All recurring jobs of the app's namespace.

    Args:
        store: gives the calling thread's store.
        queues: returns the names of all queues that were ever used.
        actions: what handles of runs act through.
    """

    def __init__(self, store: Callable[[], Store], queues: Callable[[], list[str]], actions: JobActions) -> None:
        self._store = store
        self._queues = queues
        self._actions = actions

    def list(self, *, queue: str | None = None) -> list[Recurring]:
        """Returns the recurring jobs of one queue or (None) of all, by id; those that cannot be read are left out.

        Raises:
            NewerFormat: one was written by a newer fastjobs in a format this one does not know.
        """
        queues = self._queues() if queue is None else [check_key_part("queue", queue)]
        found = [
            self._listed(name, field.decode("utf-8", "replace"), stored)
            for name in queues
            for field, stored in self._stored_in(name).items()
        ]
        return sorted((one for one in found if one is not None), key=lambda recurring: recurring.id)

    def _listed(self, queue: str, definition_id: str, stored: bytes) -> Recurring | None:
        try:
            return Recurring(self, queue, self._store().definition(queue, definition_id, stored))
        except (errors.CorruptChunk, errors.ConfigError) as error:
            event(log, logging.WARNING, "recurring job cannot be read", recurring=definition_id, reason=error)
            return None

    def find(self, definition_id: str, *, queue: str | None = None) -> Recurring:
        """Returns a recurring job.

        Args:
            definition_id: its id.
            queue: where to look; None = in all queues.

        Raises:
            RecurringNotFound: there is none.
        """
        check_id(definition_id)
        queues = self._queues() if queue is None else [check_key_part("queue", queue)]
        for name, definition in self._read_from(queues, definition_id).items():
            return Recurring(self, name, definition)
        raise errors.RecurringNotFound(definition_id)

    def define(
        self,
        call: Call,
        schedule: Schedule,
        definition_id: str,
        policy: RecurringPolicy,
    ) -> Recurring:
        """Defines or changes a recurring job; see `JobType.every`.

        A definition of the same id whose runs go to another queue is replaced by this one.
        """
        check_policy(**policy._asdict())
        call.options.check_recurring()
        definition = Definition(
            id=check_id(definition_id),
            schedule=schedule,
            type=call.job_type.name,
            payload=[*self._payload(call)],
            options=call.options.chosen,
            priority=call.line.priority,
            **policy._asdict(),
        )
        return self._define(call.line.queue, definition)

    def _define(self, queue: str, definition: Definition) -> Recurring:
        store = self._store()
        self._run(store.batch().list_partition(queue))
        elsewhere = [name for name in self._queues() if name != queue]
        moved = self._read_from(elsewhere, definition.id)
        for name, other in moved.items():
            if other.version > definition.version:
                return Recurring(self, name, other)
        due_ms = definition.schedule.first(self._server_now_ms())
        for other in moved.values():
            if other.schedule.text == definition.schedule.text:
                due_ms = other.due_ms
        # Not the other way round: should this process die in between, a job that recurs twice until it is defined again
        # is better than one that has stopped.
        batch = store.batch()
        defined = batch.define_recurring(queue, definition, due_ms)
        if any(other.paused for other in moved.values()):
            batch.pause_recurring(queue, definition.id)
        for name in moved:
            batch.cancel_recurring(name, definition.id, definition.version)
        _, stored = self._run(defined)
        recurring = Recurring(self, queue, store.definition(queue, definition.id, stored))
        return recurring.refresh() if moved else recurring

    # For handles.

    def load(self, queue: str, definition_id: str) -> Definition:
        """Returns what is stored; see `Recurring.refresh`."""
        found = self._read_from([queue], definition_id)
        if not found:
            raise errors.RecurringNotFound(definition_id)
        return found[queue]

    def run_of(self, queue: str, definition: Definition) -> Job | None:
        """Returns a handle of the last run."""
        run = definition.last_run_id
        return None if run is None else self._job(queue, definition, run)

    def pause(self, queue: str, definition_id: str) -> None:
        """See `Recurring.pause`."""
        if not self._run(self._store().batch().pause_recurring(queue, definition_id)):
            raise errors.RecurringNotFound(definition_id)

    def resume(self, queue: str, definition_id: str) -> None:
        """See `Recurring.resume`."""
        for _ in range(_MAX_TRIES):
            definition = self.load(queue, definition_id)
            due_ms = definition.schedule.following(definition.due_ms, self._server_now_ms())
            outcome = self._run(self._store().batch().resume_recurring(queue, definition, due_ms))
            if outcome > 0:
                return
        raise errors.StoreError(f"recurring job {definition_id!r} is changed all the time: it was not resumed")

    def cancel(self, queue: str, definition_id: str) -> bool:
        """See `Recurring.cancel`."""
        return self._run(self._store().batch().cancel_recurring(queue, definition_id))

    def run_now(self, queue: str, definition_id: str) -> Job:
        """See `Recurring.run_now`."""
        if importing.running:
            raise importing.refuse("runs a recurring job")
        run = run_id(definition_id, new_id())
        for _ in range(_MAX_TRIES):
            definition = self.load(queue, definition_id)
            blob = definition.pack(self._writer(), now_ms())
            outcome, found = self._run(self._store().batch().run_recurring(queue, definition, blob, run))
            if outcome >= 0:
                return self._job(queue, definition, found)
        raise errors.StoreError(f"recurring job {definition_id!r} is changed all the time: it was not run")

    def _job(self, queue: str, definition: Definition, job_id: str) -> Job:
        job = Job(self._actions, job_id, queue)
        job.type, job.priority = definition.type, definition.priority
        *job.args, job.kwargs = with_secrets(definition.payload)
        return job

    def _writer(self) -> ChunkWriter:
        config = self._store().config
        return ChunkWriter(config.max_payload_bytes, config.compress_min_bytes)

    def _payload(self, call: Call) -> Sequence[Any]:
        """The arguments as they will be stored.

        Raises:
            PayloadError: they cannot be.
        """
        writer = self._writer()
        writer.add(writer.entry(call.job_type.name), call.args, call.kwargs)
        payload: Sequence[Any] = orjson.loads(Chunk.decode(writer.finish(0)).payload(0))
        return payload

    def _server_now_ms(self) -> int:
        return self._run(self._store().batch().time_ms())

    def _read_from(self, queues: Sequence[str], definition_id: str) -> dict[str, Definition]:
        """The definitions of this id, by the queue they are in."""
        store = self._store()
        batch = store.batch()
        replies = {queue: batch.stored_definition(queue, definition_id) for queue in queues}
        batch.run(PRODUCER_RETRIES, store.config.retry_budget_s)
        return {
            queue: store.definition(queue, definition_id, reply.value)
            for queue, reply in replies.items()
            if reply.value is not None
        }

    def _stored_in(self, queue: str) -> dict[bytes, bytes]:
        """All definitions of a queue, as stored; read page by page."""
        store = self._store()
        found: dict[bytes, bytes] = {}
        cursor = b"0"
        while True:
            cursor, page = self._run(store.batch().scan_definitions(queue, cursor, _PAGE))
            found.update(page)
            if cursor == b"0":
                return found

    def _run(self, reply: Reply[T]) -> T:
        return reply.run(PRODUCER_RETRIES, self._store().config.retry_budget_s)
