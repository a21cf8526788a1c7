"""What one call may choose otherwise than its job type: validated where it is given, not where it is used."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import orjson

from fastjobs.errors import ConfigError
from fastjobs.model.names import check_name
from fastjobs.model.refs import RUN_PREFIX
from fastjobs.model.retry import RetryPolicy
from fastjobs.model.time_limits import Limits
from fastjobs.model.times import instant_ms, seconds

#: The store orders by double-precision scores, which hold these exactly.
PRIORITY_LIMIT = 2**31
#: Longest delay that is accepted: 50 years.
_LONGEST_DELAY_S = 50 * 365.25 * 86_400


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a call.

    Attributes:
        queue: queue to go to; None = the job type's.
        priority: higher runs first; None = the job type's.
        retries: further runs after one that raised; None = the job type's.
        retry_delay: seconds, or a list of seconds, before each further run; None = the job type's.
        job_id: id to give the one job; None = a new one.
        delay_ms: wait this long, from the server's now, in milliseconds.
        due_at_ms: or until this time, in milliseconds since 1970.
        timeout_ms: how long a run may take; None = the job type's.
        expires_ms: how long it may wait for its start, in milliseconds; None = the job type's.
        expires_at_ms: or until when, in milliseconds since 1970.
        partition_key: jobs of a queue with the same key are in the same partition; None = in any.
    """

    queue: str | None = None
    priority: int | None = None
    retries: int | None = None
    retry_delay: float | tuple[float, ...] | None = None
    job_id: str | None = None
    delay_ms: int = 0
    due_at_ms: int = 0
    timeout_ms: int | None = None
    expires_ms: int | None = None
    expires_at_ms: int | None = None
    partition_key: str | None = None

    def with_(self, **given: Any) -> Options:
        """Returns these options with some of them replaced.

        Args:
            given: queue, priority, retries, retry_delay, job_id, delay (seconds or timedelta), at (aware datetime),
                timeout (seconds or timedelta), expires (seconds, timedelta or aware datetime), partition_key.

        Raises:
            ConfigError: an option that does not exist or a value that cannot be used.
        """
        changes: dict[str, Any] = {}
        for name, value in given.items():
            reader = _READERS.get(name)
            if reader is None:
                raise ConfigError(f"there is no option {name!r}; there are {', '.join(_READERS)}")
            if value is not None:
                changes |= reader(value)
        if "delay" in given and "at" in given and given["delay"] is not None and given["at"] is not None:
            raise ConfigError("give delay or at, not both")
        return replace(self, **changes)

    @cached_property
    def stored(self) -> bytes:
        """The options a worker has to know, as stored with the jobs; empty when there are none."""
        values = {name: getattr(self, name) for name in _STORED}
        chosen = {name: value for name, value in values.items() if value is not None}
        return orjson.dumps(chosen) if chosen else b""


def check_priority(value: object) -> int:
    """Returns the priority if it is one: an int from -2^31 to 2^31.

    Raises:
        ConfigError: it is not.
    """
    if type(value) is not int or not -PRIORITY_LIMIT <= value <= PRIORITY_LIMIT:
        raise ConfigError(f"priority={value!r}: use an integer from -2^31 to 2^31")
    return value


def _read_delay(value: object) -> dict[str, int]:
    delay_s = seconds("delay", value)
    if delay_s > _LONGEST_DELAY_S:
        raise ConfigError(f"delay={value!r} is too long; 50 years are the longest")
    return {"delay_ms": math.ceil(delay_s * 1000), "due_at_ms": 0}


def _read_at(value: object) -> dict[str, int]:
    return {"due_at_ms": instant_ms("at", value), "delay_ms": 0}


def _read_job_id(value: object) -> dict[str, str]:
    name = check_name("job id", value)
    if name.startswith(RUN_PREFIX):
        raise ConfigError(f"job id {name!r}: ids that begin with {RUN_PREFIX!r} are those of recurring jobs' runs")
    return {"job_id": name}


def _read_retries(value: Any) -> dict[str, int]:
    return {"retries": RetryPolicy(value).retries}


def _read_retry_delay(value: Any) -> dict[str, Any]:
    if callable(value):
        raise ConfigError("retry_delay as a function is for @app.job(...): a call's options are stored")
    delay = RetryPolicy(0, value).delay
    return {"retry_delay": tuple(delay) if isinstance(delay, list | tuple) else delay}


def _read_timeout(value: object) -> dict[str, int]:
    return {"timeout_ms": _span_ms("timeout", value)}


def _read_expires(value: object) -> dict[str, int | None]:
    if isinstance(value, datetime):
        return {"expires_at_ms": instant_ms("expires", value), "expires_ms": None}
    return {"expires_ms": _span_ms("expires", value), "expires_at_ms": None}


def _read_partition_key(value: object) -> dict[str, str]:
    if not isinstance(value, str):
        raise ConfigError(f"partition_key={value!r}: use text")
    return {"partition_key": value}


def _span_ms(name: str, value: object) -> int:
    span_ms = math.ceil(seconds(name, value) * 1000)
    if span_ms == 0:
        raise ConfigError(f"{name}={value!r}: use more than 0 seconds, or None for no limit")
    return span_ms


def read_limits(timeout: object, expires: object) -> Limits:
    """Returns the limits of a job type; None = no limit.

    Args:
        timeout: seconds or a timedelta.
        expires: seconds, a timedelta, or an aware datetime.

    Raises:
        ConfigError: a value that cannot be used.
    """
    given: dict[str, int | None] = {}
    if timeout is not None:
        given |= _read_timeout(timeout)
    if expires is not None:
        given |= _read_expires(expires)
    return Limits(**{name: value for name, value in given.items() if value is not None})


_READERS: dict[str, Any] = {
    "queue": lambda value: {"queue": check_name("queue", value)},
    "priority": lambda value: {"priority": check_priority(value)},
    "retries": _read_retries,
    "retry_delay": _read_retry_delay,
    "job_id": _read_job_id,
    "delay": _read_delay,
    "at": _read_at,
    "timeout": _read_timeout,
    "expires": _read_expires,
    "partition_key": _read_partition_key,
}
#: What a worker has to know.
_STORED = ("retries", "retry_delay", "timeout_ms", "expires_ms", "expires_at_ms")
