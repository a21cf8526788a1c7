"""Recurring jobs as seen by the app: declaring, finding and changing them. Firing them is the workers' business."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from fastjobs import errors, importing
from fastjobs._core import ChunkWriter, new_id
from fastjobs.config import Config
from fastjobs.job import Job, JobActions
from fastjobs.logs import event
from fastjobs.model.definition import Declared, Definition, RecurringPolicy, check_id
from fastjobs.model.names import check_key_part
from fastjobs.model.refs import run_id
from fastjobs.model.schedules import Schedule
from fastjobs.model.secret import with_secrets
from fastjobs.model.times import instant, now_ms
from fastjobs.producing.call import Call
from fastjobs.producing.declaring import declare, store_declared
from fastjobs.registry import Registry
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
    """A handle of one recurring job: what was known of it when it was declared, stored, found or last refreshed.

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
        next_due: when it is due next; None while it is paused, and before it is stored.
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
        self.next_due = instant(definition.due_ms) if definition.due_ms and not definition.paused else None
        self.last_due = instant(definition.last_due_ms) if definition.last_due_ms else None
        self.last_run = self._recurring.run_of(self.queue, definition)

    def store(self) -> Recurring:
        """Stores it now, as it was declared, instead of when a worker starts. Safe to repeat.

        Returns:
            This handle, with what is now stored: a newer version of it, if there is one.

        Raises:
            StoreError: no answer within `retry_budget_s`; call it again.
            ConfigError: a worker or a command is importing the app: a worker stores by itself what is declared.
        """
        self.queue, stored = self._recurring.store(self.queue, self.definition)
        self._fill(stored)
        return self

    def refresh(self) -> Recurring:
        """Loads the present state into this handle and returns it.

        Raises:
            RecurringNotFound: it is not stored yet, it was cancelled, or its runs now go to another queue.
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
        config: the app's settings.
        store: gives the calling thread's store.
        queues: returns the names of all queues that were ever used.
        actions: what handles of runs act through.
        registry: where the app's declarations are noted.
    """

    def __init__(
        self,
        config: Config,
        store: Callable[[], Store],
        queues: Callable[[], list[str]],
        actions: JobActions,
        registry: Registry,
    ) -> None:
        self._config = config
        self._registry = registry
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

    def declare(self, call: Call, schedule: Schedule, definition_id: str, policy: RecurringPolicy) -> Recurring:
        """Declares a recurring job, without a server; see `JobType.every`."""
        declared = declare(self._config, call, schedule, definition_id, policy)
        self._registry.declared[declared.definition.id] = declared
        return Recurring(self, *declared)

    def store_declared(self) -> Sequence[Recurring]:
        """Stores all recurring jobs that this process has declared and not stored, as workers do when they start.

        Returns:
            Handles of what is now stored, in the order of the declarations.

        Raises:
            StoreError: no answer within `retry_budget_s`; call it again.
            ConfigError: a worker or a command is importing the app.
            CorruptChunk: what is stored under one of the ids cannot be read; the others are stored.
        """
        return [Recurring(self, *stored) for stored in self._store_all([*self._registry.declared.values()])]

    def _store_all(self, declared: Sequence[Declared]) -> Sequence[Declared]:
        if importing.running:
            raise importing.refuse("stores a recurring job")
        store = self._store()
        budget_s = store.config.retry_budget_s
        stored = store_declared(store, declared, lambda batch: batch.run(PRODUCER_RETRIES, budget_s))
        for one in stored:
            if isinstance(one, Exception):
                raise one
            self._registry.declared.pop(one.definition.id, None)
        return [one for one in stored if isinstance(one, Declared)]

    # For handles.

    def store(self, queue: str, definition: Definition) -> Declared:
        """See `Recurring.store`."""
        [stored] = self._store_all([Declared(queue, definition)])
        return stored

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
            writer = ChunkWriter(self._config.max_payload_bytes, self._config.compress_min_bytes)
            blob = definition.pack(writer, now_ms())
            outcome, found = self._run(self._store().batch().run_recurring(queue, definition, blob, run))
            if outcome >= 0:
                return self._job(queue, definition, found)
        raise errors.StoreError(f"recurring job {definition_id!r} is changed all the time: it was not run")

    def _job(self, queue: str, definition: Definition, job_id: str) -> Job:
        job = Job(self._actions, job_id, queue)
        job.type, job.priority = definition.type, definition.priority
        *job.args, job.kwargs = with_secrets(definition.payload)
        return job

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
