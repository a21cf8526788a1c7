"""Schedules by cron expression, on the clock of a time zone; `schedules` says what a schedule is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from fastjobs import errors

_ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MAX_EXPRESSION = 256
_ZONE_NAME = re.compile(r"[A-Za-z0-9_+\-/]{1,64}", re.ASCII)
#: The exceptions of cronsim for expressions it cannot read.
_UNREADABLE = (CronSimError, ValueError, TypeError, AssertionError)
_MINUTE = timedelta(minutes=1)
#: First width of the window in which `last_dues` looks back, and how it grows.
_WINDOW_MS = 3_600_000
_WINDOW_GROWTH = 8


@dataclass(frozen=True)
class Cron:
    """Due when the clock of a time zone matches a cron expression.

    Where a clock change makes times vanish or come twice: if minute and hour are both given (neither begins with
    `*`), a time that vanishes is due as soon as the gap has passed, once, and a time that comes twice is due the
    first time only. Otherwise (`*/10 * * * *`) it goes by what the clock shows: what vanishes is not due and what
    comes twice is due twice, so that steps go on evenly.

    Args:
        expression: five fields, or six with seconds first, as cronsim reads them.
        zone: name of the time zone.
    """

    expression: str
    zone: str

    @staticmethod
    def read(expression: object, tz: object = "UTC") -> Cron:
        """Returns the schedule for an expression, or `@hourly` and its like, and the name of a time zone.

        Raises:
            ConfigError: one of them is not known, or the expression never comes due.
        """
        if not isinstance(expression, str) or len(expression) > _MAX_EXPRESSION:
            raise errors.ConfigError(f"cron expression {str(expression)[:80]!r}: use text of five or six fields")
        text = " ".join(expression.split())
        text = _ALIASES.get(text.lower(), text)
        if text.startswith("@"):
            known = ", ".join(_ALIASES)
            raise errors.ConfigError(f"cron expression {text!r} is not known: use fields, {known} or .every()")
        if len(text.split()) not in (5, 6):
            raise errors.ConfigError(f"cron expression {expression!r}: use five fields, or six with seconds first")
        cron = Cron(text.upper(), _check_zone(tz))
        try:
            cron.first(0)
        except _UNREADABLE as error:
            reason = str(error) or "it cannot be read"
            raise errors.ConfigError(f"cron expression {expression!r}: {reason}") from None
        return cron

    @property
    def text(self) -> str:
        """`cron <time zone> <expression>`."""
        return f"cron {self.zone} {self.expression}"

    @property
    def words(self) -> str:
        """`0 9 * * MON-FRI, Europe/Stockholm`."""
        return f"{self.expression}, {self.zone}"

    @cached_property
    def _tz(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    @cached_property
    def _at_given_times(self) -> bool:
        """Whether minute and hour are both given."""
        minute, hour = self.expression.split()[-5:-3]
        return not minute.startswith("*") and not hour.startswith("*")

    def first(self, now_ms: int) -> int:
        """Returns the first due instant after `now_ms`.

        Raises:
            ConfigError: there is none within fifty years.
        """
        due_ms = next(self._after(now_ms), None)
        if due_ms is None:
            raise errors.ConfigError(f"cron expression {self.expression!r} never comes due")
        return due_ms

    def following(self, due_ms: int, now_ms: int) -> int:
        """Returns the first due instant after `now_ms`; `due_ms` itself if that is still to come."""
        return due_ms if due_ms > now_ms else self.first(now_ms)

    def last_dues(self, due_ms: int, now_ms: int, limit: int) -> list[int]:
        """Returns the last due instants up to `now_ms`; looks back no further than it has to."""
        width_ms = _WINDOW_MS
        while True:
            after_ms = max(due_ms - 1, now_ms - width_ms)
            dues = []
            for due in self._after(after_ms):
                if due > now_ms:
                    break
                dues.append(due)
            if len(dues) >= limit or after_ms < due_ms:
                return dues[-limit:]
            width_ms *= _WINDOW_GROWTH

    def _after(self, after_ms: int) -> Iterator[int]:
        """The due instants after an instant, in order."""
        local = datetime.fromtimestamp(after_ms // 1000, self._tz)
        given = self._at_given_times
        last_ms = after_ms
        for moment in CronSim(self.expression, local.replace(tzinfo=None) if given else local):
            if given:
                due = self._first_real(moment)
            elif _is_real(moment):
                due = moment
            else:
                continue
            due_ms = round(due.timestamp() * 1000)
            # Times that vanish in one gap come due in one instant, and a clock set back shows passed times again.
            if due_ms > last_ms:
                yield due_ms
                last_ms = due_ms

    def _first_real(self, moment: datetime) -> datetime:
        """A time of day as an instant: the first of two, or the end of the gap in which it vanishes."""
        local = moment.replace(tzinfo=self._tz)
        if _is_real(local):
            return local
        while not _is_real(local):
            local = (local.replace(tzinfo=None, second=0) + _MINUTE).replace(tzinfo=self._tz)
        return local


def _is_real(local: datetime) -> bool:
    """Whether the clock ever shows this time."""
    return local.astimezone(UTC).astimezone(local.tzinfo).replace(tzinfo=None) == local.replace(tzinfo=None)


def _check_zone(name: object) -> str:
    if isinstance(name, str) and _ZONE_NAME.fullmatch(name):
        try:
            return ZoneInfo(name).key
        except (OSError, ValueError, LookupError):
            pass
    raise errors.ConfigError(f"tz={name!r} is not a time zone: use a name such as 'Europe/Stockholm' or 'UTC'")
