"""The job types, hooks and declared recurring jobs of an app: the part of it that a worker needs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from fastjobs.errors import ConfigError
from fastjobs.handlers import Source, describe
from fastjobs.job import Job
from fastjobs.model.definition import Declared
from fastjobs.model.on_timeout import OnTimeout
from fastjobs.model.retry import RetryPolicy
from fastjobs.model.time_limits import Limits
from fastjobs.options import DEFAULT_QUEUE, Options


@dataclass(frozen=True, kw_only=True)
class RegisteredType:
    """A registered handler with its defaults.

    Attributes:
        name: name under which jobs of the type are stored.
        handler: the function that runs a job.
        options: what its jobs do unless a call says otherwise.
        takes_context: whether the handler is called with a `Context` before the job's arguments.
    """

    name: str
    handler: Callable[..., Any]
    options: Options
    takes_context: bool = False

    @property
    def queue(self) -> str:
        """The queue its jobs go to."""
        return self.options.queue or DEFAULT_QUEUE

    @property
    def priority(self) -> int:
        """The priority of its jobs: higher runs first."""
        return self.options.priority or 0

    @property
    def keep_ms(self) -> int | None:
        """How long finished jobs are kept, in milliseconds; 0 = not at all, None = as the app's settings say."""
        return self.options.finished_keep_ms

    @property
    def on_timeout(self) -> OnTimeout:
        """What becomes of the process of a job whose time is over."""
        return self.options.on_timeout or OnTimeout.COOPERATIVE

    @cached_property
    def retry(self) -> RetryPolicy:
        """How often and when a job that raised runs again."""
        return self.options.retry(RetryPolicy(0))

    @cached_property
    def limits(self) -> Limits:
        """How long its jobs may run and wait."""
        return self.options.limits(Limits())


#: Called with the job it is about.
JobHook = Callable[[Job], object]
#: Called with the worker's name, `host:pid`.
WorkerHook = Callable[[str], object]


@dataclass(slots=True)
class Hooks:
    """Functions to call around jobs and workers, in the order in which they were registered."""

    before_job: list[JobHook] = field(default_factory=list)
    after_job: list[JobHook] = field(default_factory=list)
    on_failed: list[JobHook] = field(default_factory=list)
    on_worker_start: list[WorkerHook] = field(default_factory=list)
    on_worker_stop: list[WorkerHook] = field(default_factory=list)


class Registry(Mapping[str, RegisteredType]):
    """Job types by name. Thread-safe."""

    def __init__(self) -> None:
        #: Functions of the app to call around jobs and workers.
        self.hooks = Hooks()
        #: Recurring jobs that were declared here and are not stored yet, by their ids.
        self.declared: dict[str, Declared] = {}
        self._types: dict[str, RegisteredType] = {}
        self._sources: dict[str, Source] = {}
        self._lock = threading.Lock()

    def add(self, job_type: RegisteredType) -> None:
        """Registers a job type.

        Raises:
            ConfigError: another function has this name.
        """
        source = Source.of(job_type.handler)
        with self._lock:
            known = self._sources.get(job_type.name)
            if known is not None and not source.replaces(known):
                raise ConfigError(
                    f"job type {job_type.name!r} is already registered, for {describe(known.handler)};"
                    " give one of them another name: @app.job(name=...)"
                )
            # A module that is run again (reload, notebook) replaces what it registered before.
            self._sources[job_type.name] = source
            self._types[job_type.name] = job_type

    @property
    def queues(self) -> list[str]:
        """The queues its job types go to, in alphabetical order."""
        return sorted({job_type.queue for job_type in self._types.values()})

    def functions(self) -> list[Callable[..., object]]:
        """Returns all functions of the app that a worker may call: handlers and hooks."""
        hooks = [hook for kind in fields(self.hooks) for hook in getattr(self.hooks, kind.name)]
        return [*(job_type.handler for job_type in self.values()), *hooks]

    def __getitem__(self, name: str) -> RegisteredType:
        return self._types[name]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._types))

    def __len__(self) -> int:
        return len(self._types)
