"""When recurring jobs are due: arithmetic, without a server and without a clock.

All instants are whole milliseconds since 1970. Every due instant follows from the one before it, never from when
a run happened to start, so that nothing drifts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from fastjobs import errors
from fastjobs.model.numbers import LATEST_MS
from fastjobs.model.times import instant_ms, seconds


class Schedule(Protocol):
    """When something is due."""

    @property
    def text(self) -> str:
        """The schedule in one line, as it is stored; equal for equal schedules."""

    @property
    def words(self) -> str:
        """The schedule for people."""

    def first(self, now_ms: int) -> int:
        """Returns the first due instant of a definition made at `now_ms`."""

    def following(self, due_ms: int, now_ms: int) -> int:
        """Returns the first due instant after `now_ms` in a series in which `due_ms` is one."""

    def last_dues(self, due_ms: int, now_ms: int, limit: int) -> list[int]:
        """Returns the last due instants from `due_ms` to `now_ms`, both included: at most `limit`, oldest first."""


@dataclass(frozen=True, slots=True)
class Every:
    """Due at a fixed interval.

    Args:
        interval_ms: at least 1.
        start_ms: when it is due first, if that is still to come, else an instant of the series; 0 = one interval
            from the definition.
    """

    interval_ms: int
    start_ms: int = 0

    @staticmethod
    def read(interval: object, start: object = None) -> Every:
        """Returns the schedule for an interval in seconds or as a timedelta, and an aware datetime or None.

        Raises:
            ConfigError: they are not, or the interval is less than a millisecond.
        """
        interval_ms = round(seconds("interval", interval) * 1000)
        if interval_ms < 1:
            raise errors.ConfigError(f"interval={interval!r}: the shortest is a millisecond")
        return Every(interval_ms, 0 if start is None else instant_ms("start", start))

    @property
    def text(self) -> str:
        """`every <interval ms> <start ms>`."""
        return f"every {self.interval_ms} {self.start_ms}"

    @property
    def words(self) -> str:
        """`every 90 min`: in the greatest unit in which it is a whole number; in seconds if there is none."""
        for unit, unit_ms in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000)):
            if self.interval_ms % unit_ms == 0:
                return f"every {self.interval_ms // unit_ms} {unit}"
        return f"every {self.interval_ms / 1000:.12g} s"

    def first(self, now_ms: int) -> int:
        """Returns the start, or what follows from it if it has passed; without one, an interval from now."""
        if not self.start_ms:
            return now_ms + self.interval_ms
        return self.following(self.start_ms, now_ms)

    def following(self, due_ms: int, now_ms: int) -> int:
        """Returns the first of `due_ms`, `due_ms + interval`, ... after `now_ms`."""
        if due_ms > now_ms:
            return due_ms
        return due_ms + ((now_ms - due_ms) // self.interval_ms + 1) * self.interval_ms

    def last_dues(self, due_ms: int, now_ms: int, limit: int) -> list[int]:
        """Returns the last due instants up to `now_ms`."""
        number = (now_ms - due_ms) // self.interval_ms + 1
        return [due_ms + step * self.interval_ms for step in range(max(0, number - limit), number)]


def read_schedule(text: str) -> Schedule:
    """Reads a schedule as it is stored.

    Raises:
        ConfigError: it cannot be read here, for example because this machine does not know the time zone.
    """
    kind, _, rest = text.partition(" ")
    if kind == "every":
        interval_ms, start_ms = map(int, rest.split(" "))
        if not (0 < interval_ms <= LATEST_MS and 0 <= start_ms <= LATEST_MS):
            raise errors.ConfigError(f"schedule {text!r} is none that can be")
        return Every(interval_ms, start_ms)
    zone, _, expression = rest.partition(" ")
    # cronsim and zoneinfo take as long to import as the rest of the model, and few programs need them.
    from fastjobs.model.cron import Cron  # noqa: PLC0415

    return Cron.read(expression, zone)
