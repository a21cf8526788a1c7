"""Output of the commands: tables for people, JSON for programs, a question before destruction."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fastjobs.job import Job
from fastjobs.logs import escape
from fastjobs.model.secret import masked

#: Width of output that does not go to a terminal, in columns: enough for every table.
_PAGE_WIDTH = 160


def console() -> Console:
    """Returns the console to print to: as wide as the terminal, or wide enough for every table."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=_PAGE_WIDTH)


def instant(text: str) -> datetime:
    """Parses a point in time with its zone, for click.

    Raises:
        BadParameter: the text is not a time, or has no zone.
    """
    try:
        value = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not a time such as 2026-12-24T18:00+01:00") from error
    if value.tzinfo is None:
        raise click.BadParameter(f"{text!r} has no time zone; add one, for example +01:00 or Z")
    return value


def confirmed(question: str, yes: bool) -> bool:
    """Whether to go on: `--yes` was given, or the user confirms.

    Raises:
        UsageError: standard input is not a terminal, so nobody can confirm.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} not a terminal: pass --yes")
    return click.confirm(question)


@contextmanager
def step_counter(verb: str) -> Iterator[Callable[[int], None] | None]:
    """Shows on a terminal how many jobs have been changed so far."""
    if not sys.stderr.isatty():
        yield None
        return
    yield lambda number: click.echo(f"\r{verb}: {number:,}", err=True, nl=False)
    click.echo(err=True)


def plain_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Returns a table of texts from the store, with control characters escaped."""
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text("\n".join(escape(line) for line in cell.split("\n"))) for cell in row))
    return table


def job_table(jobs: Iterable[Job]) -> Table:
    """Returns a table with one row per job."""
    rows = [
        (
            job.id,
            job.queue,
            job.type,
            job.status.value,
            str(job.priority),
            str(job.attempts),
            _time(job.due_at or job.finished_at or job.created_at),
            f"{job.error.type}: {job.error.message[:60]}" if job.error else "",
        )
        for job in jobs
    ]
    return plain_table(
        ("id", "queue", "type", "status", "priority", "attempts", "due, ended or created", "error"), rows
    )


def show_job(job: Job) -> None:
    """Prints everything about a job."""
    shown = job_as_json(job)
    options = shown.pop("options")
    for name, value in (shown | options).items():
        if name != "errors" and value is not None:
            click.echo(f"{name:13} {escape(str(value))}")
    for error in job.errors:
        click.echo(
            f"\nattempt {error.attempt} on {escape(error.worker)}: {escape(error.type)}: {escape(error.message)}"
        )
        for line in error.traceback.splitlines():
            click.echo(f"    {escape(line)}")


def job_as_json(job: Job) -> dict[str, Any]:
    """Returns everything about a job, ready for JSON."""
    names = (
        *("id", "queue", "type", "status", "args", "kwargs", "priority", "attempts", "retries_left", "worker"),
        *("created_at", "due_at", "started_at", "finished_at", "duration"),
    )
    values = {name: _plain(getattr(job, name)) for name in names}
    options = {name: _plain(value) for name, value in job.options.items()}
    return values | {"options": options, "errors": [asdict(error) for error in job.errors]}


def fields(job: Job) -> str:
    """Names a job in a question."""
    return escape(f"{job.status} job {job.id} of type {job.type}")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return masked(value)


def _time(value: datetime | None) -> str:
    return "" if value is None else value.astimezone().isoformat(sep=" ", timespec="seconds")
