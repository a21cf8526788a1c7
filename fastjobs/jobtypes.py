"""A job type, which `@app.job` returns: a function that you can also enqueue."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar

from fastjobs.context import Context
from fastjobs.enqueuing import Enqueuing
from fastjobs.job import Job, JobIds
from fastjobs.model.definition import MISSED_LIMIT, RecurringPolicy
from fastjobs.model.schedules import Every
from fastjobs.model.times import seconds
from fastjobs.operating.recurring import Recurring
from fastjobs.options import Options
from fastjobs.producing.call import Call, line_of
from fastjobs.registry import RegisteredType

P = ParamSpec("P")
R = TypeVar("R")


class JobType(Generic[P, R]):
    """A registered handler. Calling it runs the handler here and now; `enqueue` lets a worker run it.

    Args:
        enqueuing: where jobs are enqueued.
        registered: the handler and its defaults.
        options: what calls choose otherwise than the type.
    """

    def __init__(self, enqueuing: Enqueuing, registered: RegisteredType, options: Options | None = None) -> None:
        # First, as it copies the handler's own attributes, whatever their names are.
        update_wrapper(self, registered.handler)
        self._enqueuing = enqueuing
        self._registered = registered
        self._options = options or Options()
        self._line = line_of(registered, self._options, enqueuing.partitioner)

    @property
    def name(self) -> str:
        """The name under which jobs of the type are stored."""
        return self._registered.name

    @property
    def queue(self) -> str:
        """Where its jobs go."""
        return self._line.queue

    @property
    def handler(self) -> Callable[..., R]:
        """The function that runs its jobs."""
        return self._registered.handler

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs the handler here and now."""
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
        retry_delay: float | timedelta | list[float | timedelta] | None = None,
        job_id: str | None = None,
        delay: float | timedelta | None = None,
        at: datetime | None = None,
        timeout: float | timedelta | None = None,
        expires: float | timedelta | datetime | None = None,
        partition_key: str | None = None,
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
            partition_key: in a queue of several partitions, jobs with the same key are in the same one, and in order.

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
            partition_key=partition_key,
        )
        return JobType(self._enqueuing, self._registered, options)

    def call(self, /, *args: P.args, **kwargs: P.kwargs) -> Call:
        """Returns a call, to be enqueued together with others by `app.enqueue_many`."""
        return Call(self._registered, self._options, self._line, args, kwargs or None)

    def enqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> Job:
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
            EnqueueUnknown: no answer within `retry_budget_s`; its `resend()` makes it certain.
        """
        return self._enqueuing.enqueue(self.call(*args, **kwargs))

    def enqueue_many(
        self, items: Iterable[Any], *, progress: bool = False, spread: float | timedelta | None = None
    ) -> JobIds:
        """Stores one job per item, in chunks: the fast way.

        Args:
            items: each a tuple (positional arguments), a dict (keyword arguments) or anything else (the one
                argument). May be a generator, also an endless one: it is read as fast as jobs are stored.
            progress: show a bar, if standard error is a terminal.
            spread: let them become due one after the other, evenly over so many seconds (or a timedelta) from now,
                or from the type's `delay` or `at`; items without a length are read whole first.

        Returns:
            The ids, in the order of the items; empty for no items.

        Raises:
            PayloadError: an item cannot be stored; `index` says which, `enqueued` has the ids stored before it.
            NotEnqueued: the server refused some; `enqueued` has the ids stored before.
            EnqueueUnknown: no answer for `ids` within `retry_budget_s`; `enqueued` is certainly stored.

        Example:
            ids = welcome.enqueue_many((user.id,) for user in users)
        """
        spread_ms = 0 if spread is None else self._options.check_spread_ms(seconds("spread", spread))
        return self._enqueuing.enqueue_items(
            self._registered, self._options, items, progress=progress, spread_ms=spread_ms
        )

    def every(
        self,
        interval: float | timedelta,
        /,
        *args: Any,
        id: str,
        start: datetime | None = None,
        kwargs: dict[str, Any] | None = None,
        version: int = 0,
        missed: str = "latest",
        missed_limit: int = MISSED_LIMIT,
        overlap: str = "skip",
    ) -> Recurring:
        """Declares that the job recurs at a fixed interval. It needs no server, so it may stand where jobs are defined.

        Every worker stores what the app declares when it starts; the handle's `store()` does so at once, as a program
        has to that declares a job while it runs. Stored again with the same schedule, as each deploy does, it goes on
        undisturbed. Any worker of the queue fires it; what `options` says about queue, priority and retries counts for
        each run. See docs/recurring.md.

        Args:
            interval: seconds or timedelta, rounded to milliseconds, at least one.
            args: positional arguments of the handler.
            id: names it, 1 to 90 letters, digits or `_.:-`; unique in the namespace.
            start: when it is due first, an aware datetime; in the past, an instant of the series; None = one interval
                when it is stored.
            kwargs: keyword arguments of the handler, apart so that they cannot be mistaken for those of this method.
            version: of the definition, from 0; one that is lower than what is stored changes nothing.
            missed: what becomes of runs that were due while no worker looked: `latest` enqueues one, for the last of
                them, `all` each (needs `overlap="allow"`), `skip` none.
            missed_limit: how many at most, for `all`: the last ones, 1 to 1000.
            overlap: `skip` leaves a run out while the one before is not done, retries included; `allow` does not.

        Returns:
            A handle of the recurring job.

        Raises:
            ConfigError: a value that cannot be used, or arguments that the handler does not take.
            PayloadError: an argument cannot be stored exactly.

        Example:
            tick = welcome.every(30, 42, id="tick", kwargs={"lang": "sv"})
        """
        return self._enqueuing.declare_recurring(
            Call(self._registered, self._options, self._line, args, kwargs),
            Every.read(interval, start),
            id,
            RecurringPolicy(version, missed, missed_limit, overlap),
        )

    def cron(
        self,
        expression: str,
        /,
        *args: Any,
        id: str,
        tz: str = "UTC",
        kwargs: dict[str, Any] | None = None,
        version: int = 0,
        missed: str = "latest",
        missed_limit: int = MISSED_LIMIT,
        overlap: str = "skip",
    ) -> Recurring:
        """Declares that the job recurs when a clock matches a cron expression; otherwise as `every`.

        Args:
            expression: `minute hour day-of-month month day-of-week`, or six fields with seconds first, or `@hourly`,
                `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly`, `@annually`.
            args: positional arguments of the handler.
            id: as for `every`.
            tz: name of the time zone whose clock it is; docs/recurring.md says what happens when that is changed.
            kwargs: as for `every`, and so are all the others.
            version: of the definition.
            missed: what becomes of missed runs.
            missed_limit: how many are made up for.
            overlap: whether runs may overlap.

        Returns:
            A handle of the recurring job.

        Raises:
            ConfigError: a value that cannot be used, an expression that never comes due, or arguments that the handler
                does not take.
            PayloadError: an argument cannot be stored exactly.

        Example:
            welcome.cron("0 9 * * mon-fri", 42, tz="Europe/Stockholm", id="daily")
        """
        # Imported by programs that need it: see `schedules.read_schedule`.
        from fastjobs.model.cron import Cron  # noqa: PLC0415

        return self._enqueuing.declare_recurring(
            Call(self._registered, self._options, self._line, args, kwargs),
            Cron.read(expression, tz),
            id,
            RecurringPolicy(version, missed, missed_limit, overlap),
        )

    def __repr__(self) -> str:
        return f"<JobType {self.name} queue={self.queue}>"
