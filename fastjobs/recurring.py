"""When recurring jobs are due, and how their definitions are stored: arithmetic, without a server and without a clock.

All instants are whole milliseconds since 1970. Every due instant follows from the one before it, never from when
a run happened to start, so that nothing drifts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import orjson
from cronsim import CronSim, CronSimError

from fastjobs import errors
from fastjobs.names import check_name
from fastjobs.options import RUN_PREFIX, instant_ms, seconds
from fastjobs.secret import with_secrets

MISSED = ("latest", "all", "skip")
OVERLAPS = ("skip", "allow")
#: Most runs that `missed="all"` makes up for at a time, unless the definition says otherwise; and the most it may say.
MISSED_LIMIT = 100
MAX_MISSED_LIMIT = 1000
#: With `missed="skip"`: a run that could not be enqueued within this many milliseconds of its due instant is skipped.
MISSED_AFTER_MS = 5_000
#: Longest id of a definition: its runs' ids, which contain it, are job ids of at most 128 characters.
MAX_ID_LENGTH = 90

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
#: What cronsim raises for expressions it cannot read.
_UNREADABLE = (CronSimError, ValueError, TypeError, AssertionError)
_MINUTE = timedelta(minutes=1)
#: First width of the window in which `last_dues` looks back, and how it grows.
_WINDOW_MS = 3_600_000
_WINDOW_GROWTH = 8


class Packer(Protocol):
    """What packs a run; implemented by `ChunkWriter`."""

    def entry(self, name: str, options: bytes = b"") -> int:
        """Returns the index of a type."""

    def add(self, entry: int, args: list[Any], keywords: dict[str, Any] | None = None) -> None:
        """Adds a job."""

    def finish(self, created_at_ms: int) -> bytes:
        """Returns the packed chunk."""


class Schedule(Protocol):
    """When something is due."""

    @property
    def text(self) -> str:
        """The schedule in one line, as it is stored; equal for equal schedules."""

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


def read_schedule(text: str) -> Schedule:
    """Reads a schedule as it is stored.

    Raises:
        ConfigError: it cannot be read here, for example because this machine does not know the time zone.
    """
    kind, _, rest = text.partition(" ")
    if kind == "every":
        interval_ms, start_ms = rest.split(" ")
        return Every(int(interval_ms), int(start_ms))
    zone, _, expression = rest.partition(" ")
    return Cron.read(expression, zone)


def check_id(value: object) -> str:
    """Returns the id if a definition can have it.

    Raises:
        ConfigError: it is not a name of at most 90 characters.
    """
    name = check_name("id of a recurring job", value)
    if len(name) > MAX_ID_LENGTH:
        raise errors.ConfigError(f"id of a recurring job {name!r}: use at most {MAX_ID_LENGTH} characters")
    return name


def run_id(definition_id: str, occasion: int | str) -> str:
    """Returns the id of a run: of the one due at an instant (ms), or of one asked for, named by an id of its own."""
    return f"{RUN_PREFIX}{definition_id}:{occasion}"


def definition_of(job_id: str) -> str | None:
    """Returns the id of the definition a job is a run of; None for other jobs."""
    if not job_id.startswith(RUN_PREFIX):
        return None
    return job_id[len(RUN_PREFIX) :].rpartition(":")[0] or None


@dataclass(frozen=True, kw_only=True, slots=True)
class Definition:
    """What recurs, when and how; and, as stored, how far it is.

    Attributes:
        id: its id, unique in the namespace.
        schedule: when it is due.
        type: name of the job type of its runs.
        payload: `[*args, kwargs]` of its runs.
        options: retries and retry_delay of its runs, if given.
        priority: of its runs.
        version: a lower one never replaces a higher one.
        missed: what becomes of runs that could not be enqueued in time: `latest`, `all` or `skip`.
        missed_limit: how many at most, for `all`.
        overlap: whether a run is enqueued while the one before is not done: `skip` or `allow`.
        revision: changes whenever the definition does.
        paused: whether it waits for `resume`.
        due_ms: next due instant.
        last_due_ms: due instant, or time, of its last run; 0 = none so far.
        last_run_id: job id of its last run; None = none so far.
    """

    id: str
    schedule: Schedule
    type: str
    payload: list[Any] = field(repr=False)
    options: dict[str, Any] = field(default_factory=dict)
    priority: int = 0
    version: int = 0
    missed: str = "latest"
    missed_limit: int = MISSED_LIMIT
    overlap: str = "skip"
    revision: int = 0
    paused: bool = False
    due_ms: int = 0
    last_due_ms: int = 0
    last_run_id: str | None = None

    def body(self) -> bytes:
        """Returns the part of the definition that scripts do not read, as it is stored."""
        return orjson.dumps({"v": 1, **{name: getattr(self, name) for name in _BODY}})

    @staticmethod
    def decode(definition_id: str, stored: bytes) -> Definition:
        """Reads a stored definition: a line for scripts (see `scripts/lib/recurring.lua`), then the body.

        Raises:
            NewerFormat: a newer fastjobs wrote it in a format this one does not know.
            CorruptChunk: the bytes are not a definition.
            ConfigError: its schedule cannot be read here.
        """
        try:
            line, _, body = stored.partition(b"\n")
            version, revision, state, due_ms, last_due_ms, last_run_id, overlap, text = line.decode().split(" ", 7)
            values = orjson.loads(body)
            if values["v"] != 1:
                raise errors.NewerFormat(f"recurring job {definition_id!r} has the newer format {values['v']}")
            _check_body(values, overlap)
            return Definition(
                id=definition_id,
                schedule=read_schedule(text),
                version=int(version),
                revision=int(revision),
                paused=state == "paused",
                due_ms=int(due_ms),
                last_due_ms=int(last_due_ms),
                last_run_id=None if last_run_id == "-" else last_run_id,
                overlap=overlap,
                **{name: values[name] for name in _BODY},
            )
        except (TypeError, KeyError, ValueError) as error:
            raise errors.CorruptChunk(f"recurring job {definition_id!r} cannot be read: {error}") from error

    def pack(self, packer: Packer, created_at_ms: int) -> bytes:
        """Returns a chunk of one run; it does not depend on which run.

        Raises:
            PayloadError: the arguments cannot be stored.
        """
        *args, kwargs = with_secrets(self.payload)
        options = orjson.dumps(self.options) if self.options else b""
        packer.add(packer.entry(self.type, options), args, kwargs)
        return packer.finish(created_at_ms)

    def runs_due(self, now_ms: int) -> list[int]:
        """Returns the due instants to enqueue runs for at `now_ms`: by its policy for missed ones, oldest first."""
        if self.missed == "all":
            return self.schedule.last_dues(self.due_ms, now_ms, self.missed_limit)
        latest = self.schedule.last_dues(self.due_ms, now_ms, 1)
        if self.missed == "skip" and latest and now_ms - latest[-1] > MISSED_AFTER_MS:
            return []
        return latest


def _check_body(values: dict[str, Any], overlap: str) -> None:
    """Makes sure that what was stored can be used: it is a supervisor that does."""
    kinds = {"type": str, "payload": list, "options": dict, "priority": int}
    for name, kind in kinds.items():
        if type(values[name]) is not kind:
            raise TypeError(f"{name} is of type {type(values[name]).__name__}")
    if not values["payload"] or type(values["payload"][-1]) is not dict:
        raise TypeError("payload has no keyword arguments")
    check_policy(version=0, missed=values["missed"], missed_limit=values["missed_limit"], overlap=overlap)


_BODY = ("type", "payload", "options", "priority", "missed", "missed_limit")


def check_policy(*, version: object, missed: object, missed_limit: object, overlap: object) -> None:
    """Checks how a definition treats versions, missed runs and overlaps.

    Raises:
        ConfigError: a value that cannot be used.
    """
    if type(version) is not int or not 0 <= version < 2**53:
        raise errors.ConfigError(f"version={version!r}: use an integer from 0 to 2^53")
    if missed not in MISSED:
        raise errors.ConfigError(f"missed={missed!r}: use one of {', '.join(MISSED)}")
    if type(missed_limit) is not int or not 1 <= missed_limit <= MAX_MISSED_LIMIT:
        raise errors.ConfigError(f"missed_limit={missed_limit!r}: use an integer from 1 to {MAX_MISSED_LIMIT}")
    if overlap not in OVERLAPS:
        raise errors.ConfigError(f"overlap={overlap!r}: use one of {', '.join(OVERLAPS)}")
    if missed == "all" and overlap == "skip":
        raise errors.ConfigError("missed='all' enqueues several runs at a time: it needs overlap='allow'")
