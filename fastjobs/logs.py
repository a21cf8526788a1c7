"""Log lines: one per event, for people (`text`) or programs (`json`); docs/logs.md lists the events.

Only the commands of fastjobs call `configure`; importing fastjobs configures no logging.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

_COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[1;31m"}


def event(logger: logging.Logger, level: int, message: str, *, exc_info: Any = None, **fields: Any) -> None:
    """Logs an event with its fields.

    Args:
        logger: the logger to use.
        level: as in `logging`.
        message: the event's fixed name, as listed in docs/logs.md; values go into `fields`.
        exc_info: True appends the traceback of the exception that is being handled.
        fields: rendered as key=value, or as keys of their own in JSON.
    """
    line = Line(
        logger,
        level,
        message,
        fields,
        sys.exc_info() if exc_info is True else exc_info,
        time.time(),
        threading.current_thread().name,
    )
    _Sink.take(line)


@dataclass(frozen=True, slots=True)
class Line:
    """A line to be logged, with when and by which thread it was made."""

    logger: logging.Logger
    level: int
    message: str
    fields: dict[str, Any]
    exc_info: Any
    created_s: float
    thread: str


def write(line: Line) -> None:
    """Hands a line to `logging`. This may wait for locks of `logging` and its handlers."""
    if not line.logger.isEnabledFor(line.level):
        return
    extra = {"fastjobs_fields": line.fields}
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


class TextFormatter(logging.Formatter):
    """`12:00:00.000 warning message key=value`."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = getattr(record, "fastjobs_fields", {})
        facts = "".join(f" {key}={escape(str(value))}" for key, value in fields.items())
        level = f"{record.levelname.lower():8}"
        if self._colour and record.levelname in _COLOURS:
            level = f"{_COLOURS[record.levelname]}{level}\x1b[0m"
        line = f"{clock}.{int(record.msecs):03d} {level} {escape(record.getMessage())}{facts}"
        if record.exc_info:
            # Indented, so that no exception can forge a line of the log.
            line += "".join(f"\n    {escape(text)}" for text in self.formatException(record.exc_info).splitlines())
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        values: dict[str, Any] = {
            "time": record.created,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fastjobs_fields", {}),
        }
        if record.exc_info:
            values["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(values, default=str).decode()


def configure(level: str, log_format: str) -> None:
    """Writes the log of fastjobs to standard error.

    Args:
        level: debug, info, warning or error.
        log_format: text or json.
    """
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter(colour=colour))
    logger = logging.getLogger("fastjobs")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
