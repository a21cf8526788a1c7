"""Points and spans of time as callers give them and as they are stored: whole milliseconds since 1970."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta

from fastjobs.errors import ConfigError
from fastjobs.model.numbers import LATEST_MS
from fastjobs.model.settings import shown

#: Latest due time that is accepted, the year 2100: places in line are microseconds in 13 hexadecimal digits, which
#: end in 2112.
LAST_DUE_MS = 4_102_444_800_000
#: Longest span of time that is accepted, 50 years, in seconds: added to any time until 2100, it fits into the digits of
#: stored times, and into 64 bits of nanoseconds.
LONGEST_S = 50 * 365.25 * 86_400


def seconds(name: str, value: object) -> float:
    """Returns a span of time in seconds, given as such or as a timedelta: the one check of all durations.

    Raises:
        ConfigError: it is neither, negative, not finite, or longer than 50 years.
    """
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, int | float) or not number >= 0:
        raise ConfigError(f"{name}={shown(value)}: use seconds or a timedelta, not negative")
    if number > LONGEST_S:
        raise ConfigError(f"{name}={shown(value)} is too long; 50 years are the longest")
    return float(number)


def instant_ms(name: str, value: object) -> int:
    """Returns a point in time, an aware datetime, in milliseconds since 1970.

    Raises:
        ConfigError: it is no datetime, a naive one, or after the year 2100.
    """
    if not isinstance(value, datetime):
        raise ConfigError(f"{name}={value!r}: use a datetime")
    if value.tzinfo is None or value.utcoffset() is None:
        raise ConfigError(f"{name}={value!r} has no time zone; add one, for example tzinfo=timezone.utc")
    at_ms = math.ceil(value.timestamp() * 1000)
    if at_ms > LAST_DUE_MS:
        raise ConfigError(f"{name}={value!r} is too late; the year 2100 is the latest")
    return max(1, at_ms)


def now_ms() -> int:
    """Returns the wall clock in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def instant(at_ms: float) -> datetime:
    """Returns a stored time as an aware datetime in UTC; the nearest one that there is for a time that cannot be."""
    return datetime.fromtimestamp(max(0, min(at_ms, LATEST_MS)) / 1000, UTC)
