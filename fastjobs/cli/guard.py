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
    """Ends the program with a message instead of a traceback when a fastjobs error comes out."""
    try:
        yield
    except (errors.ConfigError, errors.JobError) as error:
        _fail(error, exits.USAGE)
    except errors.StoreError as error:
        _fail(error, exits.NO_SERVER)
    except errors.FastJobsError as error:
        _fail(error, exits.INTERNAL)


def _fail(error: errors.FastJobsError, code: int) -> None:
    # Lines of the text may quote a server's log; what else it holds is the server's and may not steer a terminal.
    text = "\n".join(escape(line) for line in str(error).splitlines())
    click.echo(f"fastjobs: {text}", err=True)
    sys.exit(code)
