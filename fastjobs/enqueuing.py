"""Where job types put their jobs: the app's producer, or its buffer while enqueues are buffered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fastjobs import importing
from fastjobs.config import Config
from fastjobs.errors import ConfigError
from fastjobs.job import Job, JobActions, JobIds
from fastjobs.model.definition import RecurringPolicy
from fastjobs.model.partitions import Partitioner
from fastjobs.model.schedules import Schedule
from fastjobs.model.status import Status
from fastjobs.operating.recurring import Recurring, RecurringJobs
from fastjobs.options import Options
from fastjobs.producing.buffering import Buffer
from fastjobs.producing.call import Call
from fastjobs.producing.channel import Channel
from fastjobs.producing.producer import Producer
from fastjobs.producing.progress import progress_bar
from fastjobs.registry import RegisteredType
from fastjobs.server.endpoint import Endpoint
from fastjobs.store.store import Store


class Enqueuing:
    """The way from an app's job types to the server. Safe for use by several threads at once.

    Args:
        endpoint: where the server is.
        config: the app's settings.
        partitioner: chooses the partitions of jobs.
        producer: stores jobs.
        actions: what the returned handles act through.
        recurring: notes declarations of recurring jobs.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        config: Config,
        partitioner: Partitioner,
        producer: Producer,
        actions: JobActions,
        recurring: RecurringJobs,
    ) -> None:
        self.partitioner = partitioner
        self._endpoint = endpoint
        self._config = config
        self._producer = producer
        self._actions = actions
        self._recurring = recurring
        self._buffer: Buffer | None = None

    def enqueue(self, call: Call) -> Job:
        """Stores one call; see `JobType.enqueue`."""
        if importing.running:
            raise importing.refuse("enqueues a job")
        job_type, options, line, args, kwargs = call
        if self._buffer is not None and options.job_id is None:
            buffered = self._buffer.add(call)
            if buffered is not None:
                return Job(self._actions, buffered, buffered.partition)
        partition, job_id, _ = self._producer.enqueue(call)
        job = Job(self._actions, job_id, partition)
        job.type, job.priority = job_type.name, line.priority
        job.args, job.kwargs = list(args), dict(kwargs or {})
        if options.stored:
            job._options = options
        if options.delay_ms or options.due_at_ms:
            job.status = Status.SCHEDULED
        return job

    def enqueue_items(
        self, job_type: RegisteredType, options: Options, items: Iterable[Any], *, progress: bool, spread_ms: int = 0
    ) -> JobIds:
        """Stores one job per item; see `JobType.enqueue_many`."""
        if importing.running:
            raise importing.refuse("enqueues jobs")
        if options.job_id is not None:
            raise ConfigError("job_id is for one job; enqueue_many makes its own ids")
        with progress_bar(items, show=progress) as advance:
            return self._producer.enqueue_many(job_type, options, items, advance, spread_ms)

    def enqueue_calls(self, calls: Iterable[Call], *, progress: bool) -> Sequence[str]:
        """Stores calls of any job types; see `FastJobs.enqueue_many`."""
        if importing.running:
            raise importing.refuse("enqueues jobs")
        with progress_bar(calls, show=progress) as advance:
            return self._producer.enqueue_calls(calls, advance)

    def declare_recurring(
        self, call: Call, schedule: Schedule, definition_id: str, policy: RecurringPolicy
    ) -> Recurring:
        """Declares a recurring job; see `JobType.every`."""
        return self._recurring.declare(call, schedule, definition_id, policy)

    @contextmanager
    def buffered(self, linger_s: float) -> Iterator[Buffer]:
        """Gathers single enqueues while its block runs; see `FastJobs.buffered`."""
        if self._buffer is not None:
            raise ConfigError("this app is buffered already")
        buffer = Buffer(self._new_channel, self._config, self.partitioner, linger_s)
        try:
            buffer.start()
            self._buffer = buffer
            yield buffer
        finally:
            self._buffer = None
            buffer.stop()

    def close(self) -> None:
        """Closes this thread's connection; the next use opens it again."""
        self._producer.close()

    def _new_channel(self) -> Channel:
        return Channel(Store(self._endpoint.connect(), self._config), self._producer.channel)
