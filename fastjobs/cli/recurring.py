"""`fastjobs recurring` lists, stores, pauses, resumes, runs and cancels recurring jobs."""

from __future__ import annotations

import json
from datetime import datetime

import click

from fastjobs.cli.output import confirmed, console, plain_table
from fastjobs.cli.target import Target, with_app, with_target
from fastjobs.model.secret import masked
from fastjobs.operating.recurring import Recurring


@click.group()
def recurring() -> None:
    """List, store, pause, resume, run and cancel recurring jobs."""


def _find(target: Target, recurring_id: str) -> Recurring:
    return target.recurring.find(recurring_id)


@recurring.command("ls")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")
@with_target
def ls(target: Target, as_json: bool) -> None:
    """List recurring jobs with their schedules and next runs."""
    found = target.recurring.list()
    if as_json:
        for one in found:
            click.echo(json.dumps(_as_json(one)))
        return
    columns = ("id", "queue", "type", "schedule", "status", "next due", "last due", "last run")
    rows = [
        (
            one.id,
            one.queue,
            one.type,
            one.schedule,
            "paused" if one.paused else "active",
            _time(one.next_due),
            _time(one.last_due),
            one.last_run.id if one.last_run else "",
        )
        for one in found
    ]
    console().print(plain_table(columns, rows))


@recurring.command()
@with_app
def store(target: Target) -> None:
    """Store what the app declares with `every` and `cron`, as a worker does when it starts."""
    for one in target.recurring.store_declared():
        click.echo(f"{one.id} is stored")


@recurring.command()
@click.argument("recurring_id")
@with_target
def run(target: Target, recurring_id: str) -> None:
    """Enqueue a run now, beside the schedule."""
    click.echo(_find(target, recurring_id).run_now().id)


@recurring.command()
@click.argument("recurring_id")
@with_target
def pause(target: Target, recurring_id: str) -> None:
    """Pause a recurring job: no further run is enqueued until you resume it."""
    _find(target, recurring_id).pause()
    click.echo(f"{recurring_id} is paused")


@recurring.command()
@click.argument("recurring_id")
@with_target
def resume(target: Target, recurring_id: str) -> None:
    """Resume a paused recurring job."""
    found = _find(target, recurring_id)
    found.resume()
    click.echo(f"{recurring_id} is next due {_time(found.next_due)}")


@recurring.command()
@click.argument("recurring_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_target
def cancel(target: Target, recurring_id: str, yes: bool) -> None:
    """Remove a recurring job for good; runs that are already enqueued stay."""
    found = _find(target, recurring_id)
    if confirmed(f"Cancel recurring job {found.id} of type {found.type}?", yes):
        found.cancel()
        click.echo("cancelled")


def _as_json(one: Recurring) -> dict[str, object]:
    names = ("id", "queue", "type", "args", "kwargs", "schedule", "priority", "version", "missed", "overlap", "paused")
    times = {"next_due": one.next_due, "last_due": one.last_due}
    return {
        **{name: masked(getattr(one, name)) for name in names},
        **{name: value.isoformat() if value else None for name, value in times.items()},
        "last_run": one.last_run.id if one.last_run else None,
    }


def _time(value: datetime | None) -> str:
    return "" if value is None else value.astimezone().isoformat(sep=" ", timespec="seconds")
