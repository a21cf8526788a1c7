"""The record of a detached job: all there is to know about a job that stopped being ordinary.

Stored as JSON in the `jobs` hash, written and read by clients only. Unknown fields are kept, so an
older release does not lose what a newer one wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import NoneType
from typing import Any, TypeVar

import orjson

from fastjobs.errors import ChunkError, CorruptChunk, NewerFormat

T = TypeVar("T")

#: The format of a record. Raise it when an older release could not keep what a record says.
_VERSION = 1
#: Errors kept per job: the first shows how it began, the last ones how it goes on.
MAX_ERRORS = 10
#: Bytes of an error's message and traceback that are kept.
MAX_MESSAGE = 2_000
MAX_TRACEBACK = 4_000
#: The field of a record that holds what is stored of a chunk or record that cannot be read.
UNREAD = "stored"
#: What is kept of the last error's message, in bytes, and in place of its traceback while the server is out of memory.
_SHORT_MESSAGE = 200
_LEFT_OUT = "(left out: the server was out of memory)"


@dataclass(kw_only=True, slots=True)
class ErrorRecord:
    """Why one attempt did not succeed; text only, exceptions are never rebuilt."""

    type: str
    message: str
    traceback: str = ""
    #: Which attempt, counted from 1.
    attempt: int = 0
    #: When it was written, in milliseconds since 1970.
    at_ms: int = 0
    worker: str = ""
    #: Fields of newer releases, kept as they are.
    extra: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def read(values: dict[str, Any]) -> ErrorRecord:
        """Reads an error as it is stored."""
        known = {name: value for name, value in values.items() if name in _ERROR_FIELDS}
        _check(known, _ERROR_KINDS)
        return ErrorRecord(**known, extra={name: value for name, value in values.items() if name not in _ERROR_FIELDS})

    def values(self) -> dict[str, Any]:
        """Returns it as it is stored."""
        return {**{name: getattr(self, name) for name in _ERROR_FIELDS}, **self.extra}


@dataclass(kw_only=True, slots=True)
class JobRecord:
    """A detached job."""

    #: The job's public id.
    id: str
    type: str
    #: `[*args, kwargs]`; None when the payload could not be read.
    payload: list[Any] | None = field(repr=False)
    #: Options given with the call, as stored in the chunk's type table.
    options: dict[str, Any] = field(default_factory=dict)
    priority: int = 0
    created_at_ms: int = 0
    #: Runs that were charged to the job: it raised, timed out, or its process died.
    attempts: int = 0
    #: Those of them in which its process died.
    crashes: int = 0
    #: How many jobs the process was running when it last died during a run of this one; 0 = none did.
    suspects: int = 0
    #: How often the job came back from dead workers, without the times that its marks count.
    redelivered: int = 0
    #: How often it was put back because no worker knew its type.
    unknown: int = 0
    errors: list[ErrorRecord] = field(default_factory=list)
    #: The last run.
    started_at_ms: int | None = None
    run_s: float | None = None
    worker: str = ""
    #: Why its content is not known here; such a job cannot be changed. Not stored.
    unreadable: ChunkError | None = None
    #: Fields of newer releases, kept as they are.
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def failures(self) -> int:
        """Charged runs that used up a retry; crashes have a limit of their own."""
        return max(0, self.attempts - self.crashes)

    def add_error(self, error: ErrorRecord) -> None:
        """Appends an error; beyond `MAX_ERRORS` the second oldest goes."""
        error.message = _cut(error.message, MAX_MESSAGE)
        error.traceback = _without_middle(error.traceback, MAX_TRACEBACK)
        self.errors.append(error)
        if len(self.errors) > MAX_ERRORS:
            del self.errors[1]

    def encode(self) -> bytes:
        """Returns the record as it is stored.

        Raises:
            ChunkError: its content is not known here, and would be lost; the class says why.
        """
        if self.unreadable is not None:
            raise type(self.unreadable)(f"job {self.id!r} cannot be changed here: {self.unreadable}")
        values = {name: getattr(self, name) for name in _FIELDS if name not in ("errors", "extra")}
        return orjson.dumps({"v": _VERSION, **values, "errors": _with_shared_tracebacks(self.errors), **self.extra})

    def encode_short(self) -> bytes:
        """Returns the record as a server without memory stores it: why the job did not succeed, and little more.

        Raises:
            ChunkError: as for `encode`.
        """
        last = [
            replace(error, message=_cut(error.message, _SHORT_MESSAGE), traceback=_LEFT_OUT if error.traceback else "")
            for error in self.errors[-1:]
        ]
        # A copy of what cannot be read is still in its chunk.
        extra = {name: value for name, value in self.extra.items() if name != UNREAD}
        return replace(self, errors=last, extra=extra).encode()

    @staticmethod
    def decode(data: bytes) -> JobRecord:
        """Reads a stored record.

        Raises:
            NewerFormat: a newer release wrote it in a format that this one does not know.
            CorruptChunk: the bytes are not a record.
        """
        try:
            values = orjson.loads(data)
            version = values.pop("v")
            if type(version) is int and version > _VERSION:
                raise NewerFormat(f"its record has format {version}, this release knows format {_VERSION}")
            # Everything in it, as all of it is written again.
            _check_depth(data, values)
            kept_errors = _read_errors(values.pop("errors"))
            extra = {name: values.pop(name) for name in list(values) if name not in _FIELDS}
            _check(values, _KINDS)
            _check_payload(values.get("payload"))
            return JobRecord(errors=kept_errors, extra=extra, **values)
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise CorruptChunk(f"the record of a job cannot be read: {error}") from error


def _with_shared_tracebacks(kept: list[ErrorRecord]) -> list[dict[str, Any]]:
    """Errors as they are stored: in place of a traceback that an earlier one has too stands the number of that one."""
    first: dict[str, int] = {}
    stored = []
    for number, error in enumerate(kept):
        values = error.values()
        if error.traceback and first.setdefault(error.traceback, number) < number:
            values["traceback"] = first[error.traceback]
        stored.append(values)
    return stored


def _read_errors(stored: list[dict[str, Any]]) -> list[ErrorRecord]:
    kept: list[ErrorRecord] = []
    for values in stored:
        shared = values.get("traceback", "")
        if type(shared) is int:
            if not 0 <= shared < len(kept):
                raise ValueError(f"error {len(kept)} has the traceback of error {shared}")
            values["traceback"] = kept[shared].traceback
        kept.append(ErrorRecord.read(values))
    return kept


def _cut(text: str, limit: int) -> str:
    """As much of a text as fits into so many bytes of UTF-8; lone surrogates become question marks."""
    return text[:limit].encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")


def _without_middle(text: str, limit: int) -> str:
    """The same without its middle: the ends of a traceback matter most, and a message can be longer."""
    packed = text.encode("utf-8", "replace")
    if len(packed) <= limit:
        return packed.decode()
    mark = b"\n  ...\n"
    half = limit // 2
    return (packed[:half] + mark + packed[half + len(mark) - limit :]).decode("utf-8", "ignore")


def loaded(data: bytes, kind: type[T]) -> T | None:
    """Returns what JSON in a chunk says; None when there is none, it cannot be read, or it is of another kind.

    A producer in another language wrote it then: fastjobs checks what it stores.
    """
    try:
        value = orjson.loads(data)
        _check_depth(data, value)
    except (ValueError, TypeError):
        return None
    return value if type(value) is kind else None


def _check(values: Mapping[str, Any], known: Mapping[str, tuple[type, ...]]) -> None:
    """Makes sure that what was stored can be used: it is a worker's main loop that does."""
    for name, kinds in known.items():
        value = values.get(name)
        if name in values and type(value) not in kinds:
            raise TypeError(f"{name} is of type {type(value).__name__}")
        if isinstance(value, int | float) and not -_LIMIT < value < _LIMIT:
            raise ValueError(f"{name} is too large a number")


def _check_payload(payload: list[Any] | None) -> None:
    if payload is not None and not (payload and type(payload[-1]) is dict):
        raise TypeError("payload has no keyword arguments")


def _check_depth(data: bytes, value: object) -> None:
    """Raises TypeError for JSON that can be read, but is too deep to be written again within a record."""
    if data.count(b"[") + data.count(b"{") > _CERTAIN_DEPTH:
        orjson.dumps([[value]])


#: Larger numbers are none that were counted or measured.
_LIMIT = 2**53
#: JSON of at most this depth can be written.
_CERTAIN_DEPTH = 200
_COUNTS = ("priority", "created_at_ms", "attempts", "crashes", "suspects", "redelivered", "unknown")
#: What a worker relies on; a bool is no int here.
_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "type", "worker"), (str,)),
    **dict.fromkeys(_COUNTS, (int,)),
    "payload": (list, NoneType),
    "options": (dict,),
    "started_at_ms": (int, NoneType),
    "run_s": (float, int, NoneType),
}
_ERROR_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("type", "message", "traceback", "worker"), (str,)),
    **dict.fromkeys(("attempt", "at_ms"), (int,)),
}
_FIELDS = tuple(item.name for item in fields(JobRecord) if item.name != "unreadable")
_ERROR_FIELDS = tuple(item.name for item in fields(ErrorRecord) if item.name != "extra")
