"""Turns errors into one line and a named exit code, for every command."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from fastjobs import errors
from fastjobs.cli import exits
from fastjobs.logs import escape


@contextmanager
def guarded() -> Iterator[None]:
    """Ends the program with one line instead of a traceback when a fastjobs error is raised in the block."""
    try:
        yield
    except (errors.ConfigError, errors.JobError) as error:
        _fail(error, exits.USAGE)
    except errors.StoreError as error:
        _fail(error, exits.NO_SERVER)
    except errors.FastJobsError as error:
        _fail(error, exits.INTERNAL)


def _fail(error: errors.FastJobsError, code: int) -> None:
    # The text may quote the log of a server, which must not steer the terminal.
    text = "\n".join(escape(line) for line in str(error).splitlines())
    click.echo(f"fastjobs: {text}", err=True)
    sys.exit(code)
