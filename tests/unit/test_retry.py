"""When a job runs again: numbers, lists, functions, and the default."""

from __future__ import annotations

import random
from typing import Any

import pytest

from fastjobs.errors import ConfigError
from fastjobs.model.retry import CAP_S, RetryPolicy


def test_a_number_is_the_delay_of_every_retry() -> None:
    policy = RetryPolicy(3, 1.5)
    assert [policy.delay_ms(attempt, random) for attempt in (1, 2, 9)] == [1500] * 3


def test_a_list_gives_one_delay_per_retry_and_its_last_repeats() -> None:
    policy = RetryPolicy(9, [0, 1, 2.5])
    assert [policy.delay_ms(attempt, random) for attempt in (1, 2, 3, 4, 99)] == [0, 1000, 2500, 2500, 2500]


def test_a_function_is_asked_with_the_number_of_failed_runs() -> None:
    policy = RetryPolicy(9, lambda attempt: attempt * 2)
    assert [policy.delay_ms(attempt, random) for attempt in (1, 5)] == [2000, 10_000]


@pytest.mark.parametrize("returned", [-1, float("nan"), None, "5", True])
def test_a_function_that_returns_no_delay_is_found_out(returned: Any) -> None:
    with pytest.raises(ConfigError, match="retry_delay="):
        RetryPolicy(1, lambda attempt: returned).delay_ms(1, random)


def test_the_default_is_spread_below_a_doubling_bound_and_capped() -> None:
    rng = random.Random(1)
    policy = RetryPolicy(100)
    for attempt in (1, 2, 5, 10, 40, 5000):
        bound_ms = min(CAP_S, 2.0 ** min(attempt - 1, 60)) * 1000
        delays = [policy.delay_ms(attempt, rng) for _ in range(300)]
        assert 0 <= min(delays) <= max(delays) <= bound_ms
        # Full jitter: the whole range is used.
        assert max(delays) > 0.9 * bound_ms
        assert min(delays) < 0.1 * bound_ms


@pytest.mark.parametrize("retries", [-1, 1.0, True, None, "3", 1_000_001])
def test_retries_are_an_integer_that_is_not_negative(retries: Any) -> None:
    with pytest.raises(ConfigError, match="retries="):
        RetryPolicy(retries)


@pytest.mark.parametrize("delay", [-1, float("inf"), float("nan"), True, "5", [], [1, "2"], (1, -1), 2e9, object()])
def test_delays_that_mean_nothing_are_refused(delay: Any) -> None:
    with pytest.raises(ConfigError, match="retry_delay="):
        RetryPolicy(1, delay)
