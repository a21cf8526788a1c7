"""Durations: one check, wherever a caller gives one."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fastjobs import FastJobs
from fastjobs.errors import ConfigError
from fastjobs.model.retry import RetryPolicy
from fastjobs.model.schedules import Every
from fastjobs.model.times import LAST_DUE_MS, LONGEST_S, now_ms, seconds
from fastjobs.options import Options

FIFTY_YEARS = timedelta(seconds=LONGEST_S)
#: What is no duration, in whatever way.
BAD = [
    *(-1, -0.001, True, "5", b"5", [5], {}, object(), float("nan"), float("inf"), float("-inf"), timedelta(seconds=-1)),
    *(LONGEST_S + 1, 1e10, 1e300, 10**400, -(10**5000), 10**5000, timedelta.max, time.time_ns()),
]
#: Where callers give durations.
PLACES: dict[str, Callable[[Any], object]] = {
    "seconds": lambda value: seconds("x", value),
    "delay": lambda value: Options().with_(delay=value),
    "timeout": lambda value: Options().with_(timeout=value),
    "expires": lambda value: Options().with_(expires=value),
    "finished_keep_s": lambda value: Options.of_type(finished_keep_s=value),
    "retry_delay": lambda value: RetryPolicy(1, value),
    "retry_delay in a list": lambda value: RetryPolicy(1, [1, value]),
    "retry_delay of a function": lambda value: RetryPolicy(1, lambda _: value).delay_ms(1, None),  # type: ignore[arg-type]
    "spread": lambda value: FastJobs("redis://nowhere").job(print, name="work").enqueue_many([1], spread=value),
    "interval": lambda value: Every.read(value, None),
    "linger_s": lambda value: FastJobs("redis://nowhere").buffered(linger_s=value).__enter__(),
    "setting": lambda value: FastJobs("redis://nowhere", finished_keep_s=value),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("value", BAD, ids=lambda value: f"{type(value).__name__}{BAD.index(value)}")
def test_what_is_no_duration_is_refused_everywhere(place: str, value: Any) -> None:
    if (place, value) in (("retry_delay", [5]), ("setting", "5")):
        # A list of delays; a setting as it comes from the environment.
        return
    with pytest.raises(ConfigError):
        PLACES[place](value)


def test_the_longest_duration_and_a_timedelta_are_taken_everywhere() -> None:
    assert seconds("x", LONGEST_S) == seconds("x", FIFTY_YEARS) == LONGEST_S
    assert Options().with_(delay=FIFTY_YEARS, timeout=FIFTY_YEARS, expires=FIFTY_YEARS).timeout_ms == LONGEST_S * 1000
    assert RetryPolicy(1, FIFTY_YEARS).delay_ms(1, None) == LONGEST_S * 1000  # type: ignore[arg-type]
    assert RetryPolicy(1, [timedelta(minutes=1)]).delay == (60.0,)
    assert RetryPolicy(1, lambda _: timedelta(minutes=1)).delay_ms(1, None) == 60_000  # type: ignore[arg-type]


def test_the_longest_durations_fit_into_what_is_stored_and_into_nanoseconds() -> None:
    """A stored time has thirteen digits, a place in line thirteen hexadecimal ones of microseconds."""
    latest_ms = max(now_ms() + LONGEST_S * 1000, LAST_DUE_MS)
    assert len(f"{latest_ms:.0f}") == 13
    assert len(f"{int(latest_ms) * 1000:x}") == 13
    assert (LAST_DUE_MS + LONGEST_S * 1000) * 1_000_000 < 2**63


def test_a_spread_ends_before_the_latest_due_time() -> None:
    late = Options().with_(at=datetime(2099, 12, 31, tzinfo=UTC))
    assert late.check_spread_ms(3600) == 3_600_000
    with pytest.raises(ConfigError, match="after the year 2100"):
        late.check_spread_ms(LONGEST_S)
    with pytest.raises(ConfigError, match="after the year 2100"):
        Options().with_(delay=FIFTY_YEARS).check_spread_ms(LONGEST_S)


@pytest.mark.parametrize("value", [True, [True], [0.1, False], [], "5", [None], {"0": 1}])
def test_a_stored_retry_delay_that_is_none_is_left_out(value: object) -> None:
    """Fault C28."""
    assert Options.read_stored({"retry_delay": value}) == Options()


@pytest.mark.parametrize("name", ["timeout_ms", "expires_ms", "expires_at_ms", "retries", "retry_delay"])
def test_stored_options_that_no_release_stores_are_left_out(name: str) -> None:
    assert Options.read_stored({name: 10**15}) == Options()
