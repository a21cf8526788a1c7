"""When a job that raised runs again: pure arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from types import ModuleType

from fastjobs.errors import ConfigError
from fastjobs.model.times import seconds

#: Bounds of the default back-off, in seconds.
FIRST_S = 1.0
CAP_S = 600.0

#: More retries make no sense.
MAX_RETRIES = 1_000_000
#: Seconds or a timedelta, one per attempt (the last repeats), or a function of the attempt; None = default.
RetryDelay = float | timedelta | Sequence[float | timedelta] | Callable[[int], float | timedelta] | None


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
        if type(self.retries) is not int or not 0 <= self.retries <= MAX_RETRIES:
            raise ConfigError(f"retries={self.retries!r}: use an integer from 0 to {MAX_RETRIES}")
        if self.delay is None or callable(self.delay):
            return
        if not isinstance(self.delay, Sequence):
            object.__setattr__(self, "delay", _seconds(self.delay))
        elif not self.delay or isinstance(self.delay, str | bytes):
            raise ConfigError(f"retry_delay={self.delay!r}: use seconds, a list of seconds or a function")
        else:
            object.__setattr__(self, "delay", tuple(_seconds(value) for value in self.delay))

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
            return round(_seconds(self.delay(attempt)) * 1000)
        chosen = self.delay[min(attempt, len(self.delay)) - 1] if isinstance(self.delay, Sequence) else self.delay
        return round(_seconds(chosen) * 1000)


def _seconds(value: object) -> float:
    """Returns a delay in seconds; a whole number stays one, as it was stored before."""
    number = seconds("retry_delay", value)
    # Of a class that counts in its own way, as a function of the app may return, only the value is taken.
    return int(value) if isinstance(value, int) else number
