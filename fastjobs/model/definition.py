"""The stored definition of a recurring job: its runs, its schedule, its policy, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import orjson

from fastjobs import errors
from fastjobs.model.names import check_name
from fastjobs.model.numbers import LATEST_MS, PRIORITY_LIMIT
from fastjobs.model.schedules import Schedule, read_schedule
from fastjobs.model.secret import with_secrets
from fastjobs.model.stored import DefinitionLine, definition_body

MISSED = ("latest", "all", "skip")
OVERLAPS = ("skip", "allow")
#: Most runs that `missed="all"` makes up for at a time, unless the definition says otherwise; and the most it may say.
MISSED_LIMIT = 100
MAX_MISSED_LIMIT = 1000
#: With `missed="skip"`: a run that could not be enqueued within this many milliseconds of its due instant is skipped.
MISSED_AFTER_MS = 5_000
#: Longest id of a definition: its runs' ids, which contain it, are job ids of at most 128 characters.
MAX_ID_LENGTH = 90


class RecurringPolicy(NamedTuple):
    """How a definition treats older versions, missed runs and overlaps; see `JobType.every`."""

    version: int = 0
    missed: str = "latest"
    missed_limit: int = MISSED_LIMIT
    overlap: str = "skip"


class Declared(NamedTuple):
    """A definition as the app declares it, and the queue its runs go to."""

    queue: str
    definition: Definition

    def as_plain(self) -> list[Any]:
        """Returns it in values that JSON has."""
        line = {name: getattr(self.definition, name) for name in _LINE}
        body = {name: getattr(self.definition, name) for name in _BODY}
        return [self.queue, self.definition.schedule.text, line | body]

    @staticmethod
    def from_plain(values: list[Any]) -> Declared:
        """Reads what `as_plain` made.

        Raises:
            ConfigError: its schedule cannot be read here.
        """
        queue, schedule, rest = values
        return Declared(queue, Definition(schedule=read_schedule(schedule), **rest))


class Packer(Protocol):
    """Packs a run; implemented by `ChunkWriter`."""

    def entry(self, name: str, options: bytes = b"") -> int:
        """Returns the index of a type."""

    def add(self, entry: int, args: list[Any], keywords: dict[str, Any] | None = None) -> None:
        """Adds a job."""

    def finish(self, created_at_ms: int) -> bytes:
        """Returns the packed chunk."""


def check_id(value: object) -> str:
    """Returns the id if a definition can have it.

    Raises:
        ConfigError: it is not a name of at most 90 characters.
    """
    name = check_name("id of a recurring job", value)
    if len(name) > MAX_ID_LENGTH:
        raise errors.ConfigError(f"id of a recurring job {name!r}: use at most {MAX_ID_LENGTH} characters")
    return name


@dataclass(frozen=True, kw_only=True, slots=True)
class Definition:
    """The runs of a recurring job, when they are due, and, as stored, how far it is.

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
            line = DefinitionLine.parse(stored)
            values = orjson.loads(definition_body(stored))
            if values["v"] != 1:
                raise errors.NewerFormat(f"recurring job {definition_id!r} has the newer format {values['v']}")
            _check_body(values, line.overlap)
            if not 0 <= line.due_ms <= LATEST_MS:
                raise ValueError(f"it is due at {line.due_ms}")
            return Definition(
                id=definition_id,
                schedule=read_schedule(line.schedule),
                version=line.version,
                revision=line.revision,
                paused=line.status == "paused",
                due_ms=line.due_ms,
                last_due_ms=line.last_due_ms,
                last_run_id=None if line.last_run == "-" else line.last_run,
                overlap=line.overlap,
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
    if not -PRIORITY_LIMIT <= values["priority"] <= PRIORITY_LIMIT:
        raise ValueError(f"priority is {values['priority']}")
    if not values["payload"] or type(values["payload"][-1]) is not dict:
        raise TypeError("payload has no keyword arguments")
    check_policy(version=0, missed=values["missed"], missed_limit=values["missed_limit"], overlap=overlap)


_BODY = ("type", "payload", "options", "priority", "missed", "missed_limit")
#: What else an app declares; it is stored where scripts read it.
_LINE = ("id", "version", "overlap")


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
