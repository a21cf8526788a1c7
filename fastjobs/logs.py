"""Log lines: one per event, for people (`text`) or programs (`json`); docs/logs.md lists the events.

Only the commands of fastjobs configure logging; importing fastjobs does not.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

_COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[1;31m"}
#: What every record has; anything else in it came with `extra=`.
_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "fastjobs_fields", "fastjobs_exc_text"}


def event(
    logger: logging.Logger, level: int, message: str, *, exc_info: Any = None, exc_text: Any = "", **fields: Any
) -> None:
    """Logs an event with its fields.

    Args:
        logger: the logger to use.
        level: as in `logging`.
        message: the event's fixed name, as listed in docs/logs.md; values go into `fields`.
        exc_info: True appends the traceback of the exception that is being handled; or that exception.
        exc_text: the traceback, if its text has been made already.
        fields: rendered as key=value, or as keys of their own in JSON.
    """
    line = Line(
        logger,
        level,
        message,
        fields,
        _exc_info(exc_info),
        exc_text,
        time.time(),
        threading.current_thread().name,
    )
    _Sink.take(line)


def _exc_info(exc_info: Any) -> Any:
    """Returns the triple that records carry, None without an exception."""
    if exc_info is None or exc_info is True:
        return sys.exc_info() if exc_info else None
    # Attributes of an exception of a job, also its class, may raise.
    return type(exc_info), exc_info, vars(BaseException)["__traceback__"].__get__(exc_info)


@dataclass(frozen=True, slots=True)
class Line:
    """A line to be logged, with when and by which thread it was made."""

    logger: logging.Logger
    level: int
    message: str
    fields: dict[str, Any]
    exc_info: Any
    exc_text: str
    created_s: float
    thread: str


def write(line: Line) -> None:
    """Hands a line to `logging`. This may wait for locks of `logging` and its handlers."""
    # `logging.config` disables all loggers that a configuration does not name; these are for its levels to silence.
    line.logger.disabled = False
    if not line.logger.isEnabledFor(line.level):
        return
    extra = {"fastjobs_fields": line.fields, "fastjobs_exc_text": line.exc_text}
    record = line.logger.makeRecord(
        line.logger.name, line.level, "(fastjobs)", 0, line.message, (), line.exc_info, extra=extra
    )
    record.created, record.msecs = line.created_s, line.created_s % 1 * 1000
    record.threadName = line.thread
    line.logger.handle(record)


class _Sink:
    """What takes the lines of this process."""

    take: Callable[[Line], object] = staticmethod(write)


def divert(take: Callable[[Line], object]) -> None:
    """Has all further lines of this process given to `take`, which must not block; `write` is the default."""
    _Sink.take = staticmethod(take)


# Threads are not forked: in a process that a handler forks, nobody would write what was taken.
os.register_at_fork(after_in_child=lambda: divert(write))


def escape(text: str) -> str:
    """Escapes control characters, so that no job can forge a line or steer a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """Returns the fields of an event, and what came with `extra=`."""
    fields = dict(getattr(record, "fastjobs_fields", {}))
    for name, value in vars(record).items():
        # `Context.logger` gives other formatters `job_id`; here it is the field `job`.
        if name not in _STANDARD and not (name == "job_id" and value == fields.get("job")):
            fields.setdefault(name, value)
    return fields


def _text(value: object) -> str:
    """Returns the text of any value, also of one that cannot say what it is."""
    try:
        return str(value)
    except Exception as error:
        return f"({type(value).__name__} whose text cannot be made: {type(error).__name__})"


class _Formatter(logging.Formatter):
    def _details(self, record: logging.LogRecord) -> str:
        """Returns the traceback and the stack of a record, as far as it has them."""
        # Made once for all handlers of the record, as the formatters of `logging` do.
        if record.exc_info and not record.exc_text:
            made = getattr(record, "fastjobs_exc_text", "")
            record.exc_text = made.rstrip() or self.formatException(record.exc_info)
        return "\n".join(filter(None, (record.exc_text, record.stack_info)))


class TextFormatter(_Formatter):
    """`12:00:00.000 warning message key=value`; lines of other loggers begin with the logger's name."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        facts = "".join(f" {key}={escape(_text(value))}" for key, value in _fields(record).items())
        level = f"{record.levelname.lower():8}"
        if self._colour and record.levelname in _COLOURS:
            level = f"{_COLOURS[record.levelname]}{level}\x1b[0m"
        source = "" if _is_ours(record.name) else f"{escape(record.name)}: "
        line = f"{clock}.{int(record.msecs):03d} {level} {source}{escape(record.getMessage())}{facts}"
        # Indented, so that no exception can forge a line of the log.
        return line + "".join(f"\n    {escape(text)}" for text in self._details(record).splitlines())


class JsonFormatter(_Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        values: dict[str, Any] = {
            "time": record.created,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in _fields(record).items():
            values[f"extra_{name}" if name in values else name] = value
        details = self._details(record)
        if details:
            values["exception"] = details
        return _as_json(values)


def _as_json(values: dict[str, Any]) -> str:
    try:
        return orjson.dumps(values, default=_text).decode()
    except TypeError:
        # Lone surrogates, integers of more than 64 bits, keys that are no text. The line matters more than its form.
        return "{" + ", ".join(f"{json.dumps(name)}: {_value_as_json(value)}" for name, value in values.items()) + "}"


def _value_as_json(value: object) -> str:
    try:
        return json.dumps(value, default=_text, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return json.dumps(_text(value))


def _handler(log_format: str) -> logging.Handler:
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter(colour=colour))
    return handler


def configure(level: str, log_format: str) -> None:
    """Writes the log of fastjobs to standard error.

    Args:
        level: debug, info, warning or error.
        log_format: text or json.
    """
    logger = logging.getLogger("fastjobs")
    logger.handlers[:] = [_handler(log_format)]
    logger.setLevel(level.upper())
    logger.propagate = False


class AppLines:
    """The log lines of an app that does not configure logging: they are written as those of fastjobs are.

    Until `settle`, when the app has been imported, they are written where `logging` writes the lines that no handler
    takes: the root has no handler yet, so `logging.basicConfig` in the app does its work.

    Args:
        level: the lowest level that is written: debug, info, warning or error.
        log_format: text or json.
    """

    def __init__(self, level: str, log_format: str) -> None:
        self._handler = _handler(log_format)
        self._handler.addFilter(_has_no_other_handler)
        self._level = _DefaultLevel(logging.getLevelNamesMapping()[level.upper()])
        logging.lastResort = self._handler
        logging.getLogger().setLevel(self._level)
        if log_format == "json":
            logging.captureWarnings(True)

    def settle(self) -> None:
        """Leaves logging as the app has configured it, or else gives the root its handler.

        Only a handler of the root is reached by the lines of libraries, which have a `NullHandler` of their own.
        """
        root = logging.getLogger()
        if not root.handlers:
            root.addHandler(self._handler)
        elif root.level is self._level:
            root.setLevel(logging.WARNING)


class _DefaultLevel(int):
    """A level that can be told from the same one set by the app."""


def _has_no_other_handler(record: logging.LogRecord) -> bool:
    return not any(type(handler) is not logging.NullHandler for handler in _handlers_below_root(record.name))


def _handlers_below_root(name: str) -> Iterator[logging.Handler]:
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None and logger.parent is not None:
        yield from logger.handlers
        logger = logger.parent if logger.propagate else None


def _is_ours(name: str) -> bool:
    return name == "fastjobs" or name.startswith("fastjobs.")
