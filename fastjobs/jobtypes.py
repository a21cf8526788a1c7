"""What `@app.job` returns: a function that can also be enqueued."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from fastjobs.context import Context
from fastjobs.job import Job, JobIds
from fastjobs.options import Options
from fastjobs.producer import Call
from fastjobs.registry import RegisteredType

P = ParamSpec("P")
R = TypeVar("R")


class Enqueuer(Protocol):
    """What a job type needs of its app."""

    def enqueue_call(self, call: Call) -> Job:
        """Stores one job."""

    def enqueue_items(
        self, job_type: RegisteredType, options: Options, items: Iterable[Any], *, progress: bool
    ) -> JobIds:
        """Stores one job per item."""


class JobType(Generic[P, R]):
    """A registered handler. Calling it runs the handler here and now; `enqueue` lets a worker run it.

    Args:
        app: where jobs are enqueued.
        registered: the handler and its defaults.
        options: what calls choose otherwise than the type.
    """

    def __init__(self, app: Enqueuer, registered: RegisteredType, options: Options | None = None) -> None:
        self._app = app
        self._registered = registered
        self._options = options or Options()
        update_wrapper(self, registered.handler)

    @property
    def name(self) -> str:
        """What jobs of the type are stored under."""
        return self._registered.name

    @property
    def queue(self) -> str:
        """Where its jobs go."""
        return self._options.queue or self._registered.queue

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if self._registered.takes_context:
            context = Context("", self.name, self.queue)
            with_context: R = self._registered.handler(context, *args, **kwargs)
            return with_context
        result: R = self._registered.handler(*args, **kwargs)
        return result

    def options(
        self,
        *,
        queue: str | None = None,
        priority: int | None = None,
        retries: int | None = None,
        retry_delay: float | list[float] | None = None,
        job_id: str | None = None,
        delay: float | timedelta | None = None,
        at: datetime | None = None,
        timeout: float | timedelta | None = None,
        expires: float | timedelta | datetime | None = None,
    ) -> JobType[P, R]:
        """Returns this type with options for its next calls.

        Args:
            queue: queue to go to.
            priority: -2^31 to 2^31, higher runs first.
            retries: further runs after one that raised.
            retry_delay: seconds before each further run, or a list with one per run, the last of which repeats.
            job_id: id for one job, 1 to 128 letters, digits or `_.:-`; enqueued again, it is the same job.
            delay: wait this long, in seconds or as a timedelta, counted from the server's now.
            at: or until this time, an aware datetime; in the past = at once.
            timeout: how long a run may take, in seconds or as a timedelta; then `JobTimeout` is raised in the handler.
            expires: how long the job may wait for its start, in seconds or as a timedelta, counted from when it is
                enqueued or due, or until when, an aware datetime; then it is cancelled. Further runs do not expire.

        Raises:
            ConfigError: a value that cannot be used.

        Example:
            welcome.options(priority=10, retries=0).enqueue(42)
        """
        options = self._options.with_(
            queue=queue,
            priority=priority,
            retries=retries,
            retry_delay=retry_delay,
            job_id=job_id,
            delay=delay,
            at=at,
            timeout=timeout,
            expires=expires,
        )
        return JobType(self._app, self._registered, options)

    def call(self, *args: P.args, **kwargs: P.kwargs) -> Call:
        """Returns a call, to be enqueued together with others by `app.enqueue_many`."""
        return Call(self._registered, self._options, args, kwargs or None)

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Stores one job; when this returns, a worker will run it.

        Args:
            args: what the handler is called with: None, bool, int (64 bit), float (finite), str, list, tuple and
                dict with str keys. Tuples arrive as lists.
            kwargs: likewise.

        Returns:
            A handle of the job.

        Raises:
            PayloadError: an argument cannot be stored exactly; the message names it.
            JobIdConflict: the chosen id belongs to another job.
            NotEnqueued: the server refused it; it is certainly not stored.
            EnqueueUnknown: no answer within `retry_budget_s`; enqueue again with the same id to be sure.
        """
        return self._app.enqueue_call(self.call(*args, **kwargs))

    def enqueue_many(self, items: Iterable[Any], *, progress: bool = False) -> JobIds:
        """Stores one job per item, in chunks: the fast way.

        Args:
            items: each a tuple (positional arguments), a dict (keyword arguments) or anything else (the one
                argument). May be a generator, also an endless one: it is read as fast as jobs are stored.
            progress: show a bar, if standard error is a terminal.

        Returns:
            The ids, in the order of the items; empty for no items.

        Raises:
            PayloadError: an item cannot be stored; `index` tells which, `enqueued` the ids stored before it.
            NotEnqueued: the server refused some; `enqueued` tells the ids stored before.
            EnqueueUnknown: no answer for `ids` within `retry_budget_s`; `enqueued` is certainly stored.

        Example:
            ids = welcome.enqueue_many((user.id,) for user in users)
        """
        return self._app.enqueue_items(self._registered, self._options, items, progress=progress)

    def __repr__(self) -> str:
        return f"<JobType {self.name} queue={self.queue}>"
