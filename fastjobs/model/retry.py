"""When a job that raised runs again: pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from types import ModuleType

from fastjobs.errors import ConfigError

#: Bounds of the default back-off, in seconds.
FIRST_S = 1.0
CAP_S = 600.0

#: A number of seconds, one per attempt (the last repeats), or a function of the attempt; None = default.
RetryDelay = float | Sequence[float] | Callable[[int], float] | None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and when a job runs again.

    Args:
        retries: further runs after the first one.
        delay: seconds until the next run: a number, a sequence with one per attempt of which the last repeats, or
            a function that gets the number of failed attempts so far; None = exponential back-off with full
            jitter (Brooker, "Exponential backoff and jitter", AWS Architecture Blog, 2015).

    Raises:
        ConfigError: a value that is not allowed.
    """

    retries: int
    delay: RetryDelay = None

    def __post_init__(self) -> None:
        if type(self.retries) is not int or not 0 <= self.retries <= 1_000_000:
            raise ConfigError(f"retries={self.retries!r}: use an integer from 0 to 1000000")
        if self.delay is None or callable(self.delay):
            return
        given = self.delay if isinstance(self.delay, Sequence) else (self.delay,)
        if not given or isinstance(given, str):
            raise ConfigError(f"retry_delay={self.delay!r}: use seconds, a list of seconds or a function")
        for value in given:
            _check_seconds(value)

    def delay_ms(self, attempt: int, random: Random | ModuleType) -> int:
        """Returns milliseconds until the next run.

        Args:
            attempt: failed runs so far, 1 or more.
            random: source of jitter.

        Raises:
            ConfigError: the policy's own function returned something that is no delay.
        """
        if self.delay is None:
            bound_s = min(CAP_S, FIRST_S * 2.0 ** min(attempt - 1, 30))
            return round(random.uniform(0, bound_s) * 1000)
        if callable(self.delay):
            return round(_check_seconds(self.delay(attempt)) * 1000)
        if isinstance(self.delay, Sequence):
            return round(self.delay[min(attempt, len(self.delay)) - 1] * 1000)
        return round(self.delay * 1000)


def _check_seconds(value: object) -> float:
    usable = isinstance(value, int | float) and not isinstance(value, bool)
    if not usable or not math.isfinite(value) or not 0 <= value <= 1e9:  # type: ignore[arg-type,operator]
        raise ConfigError(f"retry_delay={value!r}: use seconds from 0 to 1e9")
    return float(value)  # type: ignore[arg-type]
