"""The app: the registry of job types, and the door to everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar, overload

from fastjobs import importing
from fastjobs.config import Config, load_config, load_worker_config
from fastjobs.context import Context, takes_context
from fastjobs.enqueuing import Enqueuing
from fastjobs.errors import ConfigError
from fastjobs.handlers import check_handler, describe
from fastjobs.jobtypes import JobType
from fastjobs.loader import modules_of, target_of
from fastjobs.model.names import check_name
from fastjobs.model.partitions import Partitioner
from fastjobs.model.retry import RetryDelay
from fastjobs.model.times import seconds
from fastjobs.operating.handles import Handles
from fastjobs.operating.jobs import Jobs
from fastjobs.operating.queues import Queue
from fastjobs.operating.recurring import RecurringJobs
from fastjobs.operating.workers import Workers
from fastjobs.options import Options
from fastjobs.producing.buffering import Buffer
from fastjobs.producing.call import Call
from fastjobs.producing.producer import Producer
from fastjobs.registry import JobHook, RegisteredType, Registry, WorkerHook
from fastjobs.server.endpoint import Endpoint
from fastjobs.worker.pool import Pool

P = ParamSpec("P")
R = TypeVar("R")
JobHookT = TypeVar("JobHookT", bound=JobHook)
WorkerHookT = TypeVar("WorkerHookT", bound=WorkerHook)


class Registrar(Protocol):
    """The decorator `@app.job(...)` with arguments: callers of the job type do not pass the `Context`."""

    @overload
    def __call__(self, handler: Callable[Concatenate[Context, P], R], /) -> JobType[P, R]: ...
    @overload
    def __call__(self, handler: Callable[P, R], /) -> JobType[P, R]: ...


class FastJobs:
    """An application's jobs.

    Args:
        url: `redis://`, `rediss://`, `valkey://` or `unix://`; None = FASTJOBS_URL, REDIS_URL, VALKEY_URL,
            `url` in [tool.fastjobs] of pyproject.toml, or else an embedded server for this project.
        settings: fields of `Config`, for example namespace, lease_s or durability.

    Raises:
        ConfigError: a setting that does not exist or a value that cannot be used.

    Example:
        app = FastJobs()

        @app.job(retries=5)
        def welcome(user_id: int) -> None: ...

        welcome.enqueue_many(range(1_000_000))
    """

    def __init__(self, url: str | None = None, **settings: Any) -> None:
        self.config: Config = load_config(url=url, **settings)
        self._registry = Registry()
        self._endpoint = Endpoint(self.config)
        partitioner = Partitioner(self.config.partitions_of)
        producer = Producer(self._endpoint, self.config, partitioner)
        self._handles = Handles(producer.store, self._registry)
        #: Looks jobs up.
        self.jobs = Jobs(producer.store, self._handles, partitioner)
        #: Finds, lists and stores recurring jobs.
        self.recurring = RecurringJobs(self.config, producer.store, self.jobs.queues, self._handles, self._registry)
        #: Looks workers up.
        self.workers = Workers(producer.store)
        self._enqueuing = Enqueuing(self._endpoint, self.config, partitioner, producer, self._handles, self.recurring)
        self._store = producer.store

    @property
    def url(self) -> str:
        """Where the server is; starts the embedded one if no URL is configured.

        Raises:
            ConfigError: no URL, and no server program to embed.
        """
        return self._endpoint.url

    @overload
    def job(self, handler: Callable[Concatenate[Context, P], R], /) -> JobType[P, R]: ...
    @overload
    def job(self, handler: Callable[P, R], /) -> JobType[P, R]: ...
    @overload
    def job(
        self,
        /,
        *,
        name: str | None = None,
        queue: str = "default",
        priority: int = 0,
        retries: int | None = None,
        retry_delay: RetryDelay = None,
        finished_keep_s: float | None = None,
        timeout: float | timedelta | None = None,
        on_timeout: Literal["cooperative", "replace", "kill"] = "cooperative",
        expires: float | timedelta | datetime | None = None,
    ) -> Registrar: ...
    def job(
        self,
        handler: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        queue: str = "default",
        priority: int = 0,
        retries: int | None = None,
        retry_delay: RetryDelay = None,
        finished_keep_s: float | None = None,
        timeout: float | timedelta | None = None,
        on_timeout: Literal["cooperative", "replace", "kill"] = "cooperative",
        expires: float | timedelta | datetime | None = None,
    ) -> Any:
        """Registers a function as a job type; with or without arguments.

        Args:
            handler: the function, when used without arguments. If its first parameter is annotated `Context`, it
                gets one there; callers pass the other arguments.
            name: what jobs are stored under, 1 to 128 letters, digits or `_.:-`; default: the function's name.
            queue: where jobs go.
            priority: -2^31 to 2^31, higher runs first.
            retries: further runs after one that raised; None = the app's `retries` (3).
            retry_delay: seconds before the next run: a number, a list with one per run (the last repeats), or a
                function of the number of runs that raised so far; None = exponential back-off from 1 s to 10
                minutes with full jitter.
            finished_keep_s: seconds for which finished jobs are kept; 0 = not at all, None = the app's.
            timeout: how long a run may take, in seconds or as a timedelta; then `JobTimeout` is raised in the handler,
                and `timeout_grace_s` later its process is replaced. None = for ever.
            on_timeout: what becomes of the process then: "cooperative" = it goes on; "replace" = it is replaced once
                its other jobs have ended, also after a job was cancelled; "kill" = it is killed at once.
            expires: how long a job may wait for its start, in seconds or as a timedelta, counted from when it is
                enqueued or due, or until when, an aware datetime; then it is cancelled. None = for ever.

        Raises:
            ConfigError: a value that cannot be used, or another function has this name.
        """

        def register(function: Callable[P, R]) -> JobType[P, R]:
            function = function.handler if isinstance(function, JobType) else function
            check_handler(function)
            registered = RegisteredType(
                name=check_name("job type", name or _name_of(function)),
                handler=function,
                options=Options.of_type(
                    queue=queue,
                    priority=priority,
                    retries=self.config.retries if retries is None else retries,
                    retry_delay=retry_delay,
                    finished_keep_s=finished_keep_s,
                    timeout=timeout,
                    on_timeout=on_timeout,
                    expires=expires,
                ),
                takes_context=takes_context(function),
            )
            self._registry.add(registered)
            return JobType(self._enqueuing, registered)

        return register if handler is None else register(handler)

    def before_job(self, hook: JobHookT) -> JobHookT:
        """Has a function called before each run of a job, with the `Job`, in the thread that runs it."""
        self._registry.hooks.before_job.append(hook)
        return hook

    def after_job(self, hook: JobHookT) -> JobHookT:
        """Has a function called after each run of a job, with the `Job` as the run left it.

        Its status is finished, retrying, failed or cancelled; `error`, `duration` and `attempts` say the rest. An
        exception in a hook is logged and changes nothing. Register hooks before the worker starts, where jobs are.

        Example:
            @app.after_job
            def count(job: Job) -> None:
                metrics.count(job.type, job.status)
        """
        self._registry.hooks.after_job.append(hook)
        return hook

    def on_failed(self, hook: JobHookT) -> JobHookT:
        """Has a function called when a run has failed its job for good, with the `Job`, before `after_job` is."""
        self._registry.hooks.on_failed.append(hook)
        return hook

    def on_worker_start(self, hook: WorkerHookT) -> WorkerHookT:
        """Has a function called in each process of a worker before its first job, with the worker's name `host:pid`."""
        self._registry.hooks.on_worker_start.append(hook)
        return hook

    def on_worker_stop(self, hook: WorkerHookT) -> WorkerHookT:
        """Has a function called in each process of a worker after its last job; not in one that was killed."""
        self._registry.hooks.on_worker_stop.append(hook)
        return hook

    def enqueue_many(self, calls: Iterable[Call], *, progress: bool = False) -> Sequence[str]:
        """Stores calls of any job types, made with `.call(...)`, in chunks.

        Args:
            calls: the calls; each goes where its type and options say.
            progress: show a bar, if standard error is a terminal.

        Returns:
            The ids, in the order of the calls.

        Raises:
            PayloadError, JobIdConflict, NotEnqueued, EnqueueUnknown: as for `JobType.enqueue_many`.

        Example:
            app.enqueue_many([welcome.call(1), report.options(queue="slow").call("2026-11")])
        """
        return self._enqueuing.enqueue_calls(calls, progress=progress)

    @contextmanager
    def buffered(self, *, linger_s: float | timedelta = 0.002) -> Iterator[Buffer]:
        """Gathers the single enqueues of all threads into chunks while its block runs.

        Args:
            linger_s: how long a job waits for others, in seconds or as a timedelta.

        Yields:
            The buffer; its `flush()` waits until all is stored. Where errors come out is said at `Buffer`.

        Raises:
            ConfigError: the app's enqueues are buffered already.

        Example:
            with app.buffered():
                for user in users:
                    welcome.enqueue(user.id)
        """
        with self._enqueuing.buffered(seconds("linger_s", linger_s)) as buffer:
            yield buffer

    def queue(self, name: str) -> Queue:
        """Returns a queue, to pause, resume, clear, drain or measure it.

        Raises:
            ConfigError: no name for a queue.
        """
        return Queue(self._store, name)

    def pool(self, *, app: str | None = None, **settings: Any) -> Pool:
        """Returns a worker for this app that runs in processes of its own.

        Args:
            app: where the processes find the app, "module:variable"; default: a module of this process that holds it.
                The script that is running counts only if no other does, or if it has handlers or hooks of its own.
            settings: fields of `WorkerConfig`: processes, threads, queues, batch_size, ... `include` is by default the
                modules of all handlers and hooks that are registered now.

        Raises:
            ConfigError: no module holds the app, a setting cannot be used, or a worker or a command is importing the
                app: the call needs a function, or `if __name__ == "__main__":`.

        Example:
            with app.pool(processes=8, batch_size=500):
                ...
        """
        if importing.running:
            raise importing.refuse("starts a pool")
        functions = self._registry.functions()
        settings.setdefault("include", modules_of(functions))
        load_worker_config(**settings)
        in_script = any(getattr(code, "__module__", "") == "__main__" for code in functions)
        return Pool(app or target_of(self, in_script=in_script), settings)

    def _redirect(self, url: str) -> None:
        """Uses another server than the code says, before the first use: for `fastjobs-worker --url`."""
        self.config = replace(self.config, url=url)
        self._endpoint.redirect(self.config)

    def close(self) -> None:
        """Closes this thread's connection; the next use opens it again."""
        self._enqueuing.close()


def _name_of(handler: Callable[..., Any]) -> str:
    name = getattr(handler, "__name__", None)
    if name is None:
        raise ConfigError(f"{describe(handler)} has no name to store jobs under; give it one: @app.job(name=...)")
    return str(name)
