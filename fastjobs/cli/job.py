"""`fastjobs job` shows one job, and acts on it."""

from __future__ import annotations

import json
from datetime import datetime

import click

from fastjobs.cli.output import confirmed, fields, instant, job_as_json, json_option, say, show_job
from fastjobs.cli.target import Target, with_target
from fastjobs.job import Job


@click.group()
def job() -> None:
    """Show one job, and act on it."""


def _find(target: Target, job_id: str) -> Job:
    return target.jobs.find(job_id)


def _say(found: Job, as_json: bool) -> None:
    click.echo(json.dumps(job_as_json(found)) if as_json else f"{found.id} is {found.status}")


_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@job.command()
@click.argument("job_id")
@_JSON
@with_target
def show(target: Target, job_id: str, as_json: bool) -> None:
    """Show everything about a job."""
    found = _find(target, job_id)
    if as_json:
        click.echo(json.dumps(job_as_json(found)))
    else:
        show_job(found)


@job.command()
@click.argument("job_id")
@_JSON
@with_target
def retry(target: Target, job_id: str, as_json: bool) -> None:
    """Run a failed job again."""
    _say(_find(target, job_id).retry(), as_json)


@job.command()
@click.argument("job_id")
@_JSON
@with_target
def cancel(target: Target, job_id: str, as_json: bool) -> None:
    """Cancel a job; a running one is asked to end."""
    _say(_find(target, job_id).cancel(), as_json)


@job.command()
@click.argument("job_id")
@click.option("--at", type=instant, help="Due time with its zone, for example 2026-12-24T18:00+01:00.")
@click.option("--delay", type=float, help="Or a delay in seconds [default: none].")
@_JSON
@with_target
def reschedule(target: Target, job_id: str, at: datetime | None, delay: float | None, as_json: bool) -> None:
    """Put a job in line again, with all its retries."""
    _say(_find(target, job_id).reschedule(at, delay=delay), as_json)


@job.command()
@click.argument("job_id")
@click.argument("priority", type=int)
@_JSON
@with_target
def priority(target: Target, job_id: str, priority: int, as_json: bool) -> None:
    """Change the priority of a waiting job; write -- before a negative one."""
    _say(_find(target, job_id).set_priority(priority), as_json)


@job.command()
@click.argument("job_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@with_target
def destroy(target: Target, job_id: str, yes: bool, as_json: bool) -> None:
    """Remove every trace of a job."""
    found = _find(target, job_id)
    if confirmed(f"Destroy {fields(found)}?", yes):
        found.destroy()
        say(as_json, "destroyed", id=found.id, destroyed=True)
