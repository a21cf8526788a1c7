"""Standard streams of programs that must not end because nobody reads what they write, or the disk is full."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress

import click


def open_missing() -> None:
    """Opens the standard streams that are closed on the null device.

    Otherwise the next file or socket would get such a descriptor, and what is printed would be written into it.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdout = sys.stdout or _writer(1)
    sys.stderr = sys.stderr or _writer(2)


def say(text: str) -> None:
    """Prints a text to standard error, or not."""
    with suppress(OSError):
        click.echo(text, err=True)


def flush() -> None:
    """Writes out what is buffered, or drops it: the interpreter ends with code 120 if it cannot be written."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            with suppress(OSError, ValueError):
                os.dup2(null, stream.fileno())
            os.close(null)


def _writer(descriptor: int) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.FileIO(descriptor, "w", closefd=False), line_buffering=True)
