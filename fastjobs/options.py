"""The options of a job: each is declared once, in the table `OPTIONS`, which everything that handles options reads.

To add an option: a row of the table and a field of `Options` here, an argument of `@app.job` in app.py, of `.options()`
in jobtypes.py, or of both, and the code that obeys it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Flag, auto
from functools import cached_property
from typing import Any, NamedTuple

import orjson

from fastjobs.errors import ConfigError
from fastjobs.model.names import check_key_part, check_name
from fastjobs.model.numbers import PRIORITY_LIMIT
from fastjobs.model.on_timeout import OnTimeout
from fastjobs.model.refs import RUN_PREFIX
from fastjobs.model.retry import MAX_RETRIES, RetryDelay, RetryPolicy
from fastjobs.model.time_limits import Limits
from fastjobs.model.times import LAST_DUE_MS, LONGEST_S, instant, instant_ms, now_ms, seconds

#: Queue of a job type that names none.
DEFAULT_QUEUE = "default"
#: Stored option -> the largest number that it can be; of the others, the longest span of time.
_LARGEST = {"retries": MAX_RETRIES, "retry_delay": LONGEST_S, "expires_at_ms": LAST_DUE_MS}


class Where(Flag):
    """Where an option may be given."""

    #: `@app.job(...)`.
    JOB_TYPE = auto()
    #: `.options(...)` before an enqueue.
    CALL = auto()
    #: `.options(...)` before `every` or `cron`.
    RECURRING = auto()


_ANYWHERE = Where.JOB_TYPE | Where.CALL | Where.RECURRING
_CALLS = Where.CALL | Where.RECURRING


class Option(NamedTuple):
    """One option of a job.

    An option that is stored is part of the job's identity, as the server compares chunks byte by byte: a job enqueued
    again under its id has to have the same. `Job.options` and `fastjobs job show` show it.
    """

    #: How callers spell it.
    name: str
    #: Where it may be given.
    where: Where
    #: Checks what a caller gave, anything but None, and returns the fields of `Options` to set.
    read: Callable[[Any], dict[str, Any]]
    #: The fields of `Options` that hold it.
    fields: tuple[str, ...]
    #: Whether its fields are stored with the job, under their names: in the type table of its chunk, in its record, and
    #: in the definition of a recurring job. A worker has to know it.
    stored: bool = False
    #: The default of `@app.job`. `.options()` always has None: then the job type decides.
    default: object = None


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options that a job type or a call chose, checked.

    Attributes:
        queue: queue to go to; None = the job type's.
        priority: higher runs first; None = the job type's.
        retries: further runs after one that raised; None = the job type's.
        retry_delay: seconds, or a list of seconds, before each further run; None = the job type's.
        finished_keep_ms: how long a finished job is kept, in milliseconds; None = as the app's settings say.
        job_id: id to give the one job; None = a new one.
        delay_ms: wait this long, from the server's now, in milliseconds.
        due_at_ms: or until this time, in milliseconds since 1970.
        timeout_ms: how long a run may take; None = the job type's.
        expires_ms: how long it may wait for its start, in milliseconds; None = the job type's.
        expires_at_ms: or until when, in milliseconds since 1970.
        partition_key: jobs of a queue with the same key are in the same partition; None = in any.
        on_timeout: what becomes of the process of a job whose time is over; None = it goes on.
    """

    queue: str | None = None
    priority: int | None = None
    retries: int | None = None
    retry_delay: RetryDelay = None
    finished_keep_ms: int | None = None
    job_id: str | None = None
    delay_ms: int = 0
    due_at_ms: int = 0
    timeout_ms: int | None = None
    expires_ms: int | None = None
    expires_at_ms: int | None = None
    partition_key: str | None = None
    on_timeout: OnTimeout | None = None

    @staticmethod
    def of_type(**given: Any) -> Options:
        """Returns the options of a job type, from the arguments of `@app.job`; None = not given.

        Raises:
            ConfigError: an option that does not exist or a value that cannot be used.
        """
        return Options(**_read(Where.JOB_TYPE, given))

    @staticmethod
    def read_stored(stored: Mapping[str, Any]) -> Options:
        """Returns the options stored with a job; those of newer releases are left out, and values that cannot be."""
        known = {name: stored[name] for name in _STORED if name in stored and _can_be(name, stored[name])}
        return Options(**known) if stored else _NONE

    def with_(self, **given: Any) -> Options:
        """Returns these options with some of them replaced, from the arguments of `.options`; None = not given.

        Raises:
            ConfigError: an option that does not exist or a value that cannot be used.
        """
        changes = _read(Where.CALL, given)
        if given.get("delay") is not None and given.get("at") is not None:
            raise ConfigError("give delay or at, not both")
        return replace(self, **changes)

    @property
    def chosen(self) -> dict[str, Any]:
        """The options that are stored with a job, by the names under which they are."""
        values = {name: getattr(self, name) for name in _STORED}
        return {name: value for name, value in values.items() if value is not None}

    @cached_property
    def stored(self) -> bytes:
        """The options that are stored with a job, as a chunk's type table holds them; empty when there are none."""
        return orjson.dumps(self.chosen) if self.chosen else b""

    def shown(self) -> dict[str, Any]:
        """Returns the options that are stored with a job, by name, spans and points in time as such."""
        chosen = self.chosen
        return {
            option.name: _shown(name, chosen[name]) for option in OPTIONS for name in option.fields if name in chosen
        }

    def check_spread_ms(self, spread_s: float) -> int:
        """Returns an interval over which jobs with these options can be spread, in milliseconds.

        Raises:
            ConfigError: the last job would be due after the year 2100.
        """
        spread_ms = round(spread_s * 1000)
        if max(self.due_at_ms, now_ms() + self.delay_ms) + spread_ms > LAST_DUE_MS:
            raise ConfigError(f"spread={spread_s:g} s: the last job would be due after the year 2100")
        return spread_ms

    def check_recurring(self) -> None:
        """Checks that a recurring job can have these options.

        Raises:
            ConfigError: one of them is for one job only.
        """
        for_one = [option for option in OPTIONS if Where.RECURRING not in option.where]
        fields = [name for option in for_one for name in option.fields]
        if any(getattr(self, name) != getattr(_NONE, name) for name in fields):
            names = ", ".join(option.name for option in for_one if Where.CALL in option.where)
            raise ConfigError(f"{names} are for one job; a recurring one has an id and a schedule")

    def retry(self, default: RetryPolicy) -> RetryPolicy:
        """Returns how often and when a job runs again: as chosen here, otherwise as a default says."""
        return RetryPolicy(
            default.retries if self.retries is None else self.retries,
            default.delay if self.retry_delay is None else self.retry_delay,
        )

    def limits(self, default: Limits) -> Limits:
        """Returns how long a job may run and wait: as chosen here, otherwise as a default says."""
        expiry = (self.expires_ms, self.expires_at_ms)
        if expiry == (None, None):
            expiry = (default.expires_ms, default.expires_at_ms)
        timeout_ms = default.timeout_ms if self.timeout_ms is None else self.timeout_ms
        return Limits(timeout_ms, *(ms or 0 for ms in expiry))


def _can_be(name: str, value: object) -> bool:
    """Whether a stored value of an option is of the right kind: numbers of a size that can be counted with."""
    largest = _LARGEST.get(name, LONGEST_S * 1000)
    if name == "retry_delay":
        values = value if isinstance(value, list) and value else [value]
        numbers = [one for one in values if isinstance(one, int | float) and not isinstance(one, bool)]
        return len(numbers) == len(values) and all(0 <= one <= largest for one in numbers)
    return value is None or (type(value) is int and 0 <= value <= largest)


def check_priority(value: object) -> int:
    """Returns the priority if it is one: an int from -2^31 to 2^31.

    Raises:
        ConfigError: it is not.
    """
    if type(value) is not int or not -PRIORITY_LIMIT <= value <= PRIORITY_LIMIT:
        raise ConfigError(f"priority={value!r}: use an integer from -2^31 to 2^31")
    return value


def _read(where: Where, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of `Options` for what a caller gave."""
    changes: dict[str, Any] = {}
    for name, value in given.items():
        option = _BY_NAME.get(name)
        if option is None or where not in option.where:
            names = ", ".join(known.name for known in OPTIONS if where in known.where)
            raise ConfigError(f"there is no option {name!r}; there are {names}")
        if option.stored and callable(value) and where is not Where.JOB_TYPE:
            raise ConfigError(f"{name} as a function is for @app.job(...): a call's options are stored")
        if value is not None:
            changes |= option.read(value)
    return changes


def _read_queue(value: object) -> dict[str, Any]:
    return {"queue": check_key_part("queue", value)}


def _read_priority(value: object) -> dict[str, Any]:
    return {"priority": check_priority(value)}


def _read_retries(value: Any) -> dict[str, Any]:
    return {"retries": RetryPolicy(value).retries}


def _read_retry_delay(value: Any) -> dict[str, Any]:
    delay = RetryPolicy(0, value).delay
    return {"retry_delay": tuple(delay) if isinstance(delay, list | tuple) else delay}


def _read_finished_keep(value: object) -> dict[str, Any]:
    return {"finished_keep_ms": round(seconds("finished_keep_s", value) * 1000)}


def _read_timeout(value: object) -> dict[str, Any]:
    return {"timeout_ms": _limit_ms("timeout", value)}


def _read_expires(value: object) -> dict[str, Any]:
    if isinstance(value, datetime):
        return {"expires_at_ms": instant_ms("expires", value), "expires_ms": None}
    return {"expires_ms": _limit_ms("expires", value), "expires_at_ms": None}


def _read_job_id(value: object) -> dict[str, Any]:
    name = check_name("job id", value)
    if name.startswith(RUN_PREFIX):
        raise ConfigError(f"job id {name!r}: ids that begin with {RUN_PREFIX!r} are those of recurring jobs' runs")
    return {"job_id": name}


def _read_delay(value: object) -> dict[str, Any]:
    return {"delay_ms": math.ceil(seconds("delay", value) * 1000), "due_at_ms": 0}


def _read_at(value: object) -> dict[str, Any]:
    return {"due_at_ms": instant_ms("at", value), "delay_ms": 0}


def _read_partition_key(value: object) -> dict[str, Any]:
    if not isinstance(value, str):
        raise ConfigError(f"partition_key={value!r}: use text")
    return {"partition_key": value}


def _read_on_timeout(value: Any) -> dict[str, Any]:
    try:
        return {"on_timeout": OnTimeout(value)}
    except ValueError:
        choices = ", ".join(repr(choice.value) for choice in OnTimeout)
        raise ConfigError(f"on_timeout={value!r}: use one of {choices}") from None


def _limit_ms(name: str, value: object) -> int:
    limit_ms = math.ceil(seconds(name, value) * 1000)
    if limit_ms == 0:
        raise ConfigError(f"{name}={value!r}: use more than 0 seconds, or None for no limit")
    return limit_ms


def _shown(field: str, value: Any) -> Any:
    """Returns the value of a field as callers give it; what a number is, the end of the field's name says."""
    if field.endswith("_at_ms"):
        return instant(value)
    return timedelta(milliseconds=value) if field.endswith("_ms") else value


#: All options. Those that are stored are stored in this order, which may not change: equal jobs are equal bytes.
OPTIONS: tuple[Option, ...] = (
    Option("queue", _ANYWHERE, _read_queue, ("queue",), default=DEFAULT_QUEUE),
    Option("priority", _ANYWHERE, _read_priority, ("priority",), default=0),
    Option("retries", _ANYWHERE, _read_retries, ("retries",), stored=True),
    Option("retry_delay", _ANYWHERE, _read_retry_delay, ("retry_delay",), stored=True),
    Option("timeout", _ANYWHERE, _read_timeout, ("timeout_ms",), stored=True),
    Option("expires", _ANYWHERE, _read_expires, ("expires_ms", "expires_at_ms"), stored=True),
    Option("finished_keep_s", Where.JOB_TYPE, _read_finished_keep, ("finished_keep_ms",)),
    Option("job_id", Where.CALL, _read_job_id, ("job_id",)),
    Option("delay", Where.CALL, _read_delay, ("delay_ms",)),
    Option("at", Where.CALL, _read_at, ("due_at_ms",)),
    Option("partition_key", _CALLS, _read_partition_key, ("partition_key",)),
    Option("on_timeout", Where.JOB_TYPE, _read_on_timeout, ("on_timeout",), default="cooperative"),
)
_BY_NAME = {option.name: option for option in OPTIONS}
_STORED = tuple(name for option in OPTIONS if option.stored for name in option.fields)
_NONE = Options()
