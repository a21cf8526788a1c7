"""Output of the commands: tables for people, JSON for programs, a question before destruction."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import click

from fastjobs.cli.tables import Grid
from fastjobs.job import Job
from fastjobs.logs import escape
from fastjobs.model.secret import masked
from fastjobs.model.times import instant as moment

#: Adds `--json` to a command that prints one object.
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def say(as_json: bool, text: str, **values: Any) -> None:
    """Prints what a command has done, as a line for people or an object for programs."""
    # ASCII only, so that the locale does not matter.
    click.echo(json.dumps(as_plain(values)) if as_json else escape(text))


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


def job_table(jobs: Iterable[Job]) -> Grid:
    """Returns a table with one row per job."""
    rows = [
        (
            job.id,
            job.queue,
            job.type,
            job.status.value,
            str(job.priority),
            str(job.attempts),
            local_time(job.due_at or job.finished_at or job.created_at),
            f"{job.error.type}: {job.error.message[:60]}" if job.error else "",
        )
        for job in jobs
    ]
    return Grid(("id", "queue", "type", "status", "priority", "attempts", "due, ended or created", "error"), rows)


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
    values = {name: getattr(job, name) for name in names}
    options = as_plain(job.options)
    errors = [as_plain(asdict(error) | {"at": moment(error.at_ms)}) for error in job.errors]
    for error in errors:
        del error["at_ms"]
    return as_plain(values | {"options": options, "errors": errors})


def as_plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns values in the form that all commands have for JSON: times in ISO 8601, durations as `<name>_s`."""
    return {f"{name}_s" if isinstance(value, timedelta) else name: _plain(value) for name, value in values.items()}


def fields(job: Job) -> str:
    """Names a job in a question."""
    return escape(f"{job.status} job {job.id} of type {job.type}")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, tuple | list) and any(isinstance(item, dict | timedelta) for item in value):
        return [as_plain(item) if isinstance(item, dict) else _plain(item) for item in value]
    return masked(value)


def local_time(value: datetime | None) -> str:
    """Returns a time for people: by the clock of this machine, with its distance from UTC."""
    return "" if value is None else value.astimezone().isoformat(sep=" ", timespec="seconds")
