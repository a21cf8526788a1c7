"""`fastjobs recurring` lists, stores, pauses, resumes, runs and cancels recurring jobs."""

from __future__ import annotations

import json

import click

from fastjobs.cli.output import as_plain, confirmed, job_as_json, json_option, local_time, say
from fastjobs.cli.tables import Grid, show
from fastjobs.cli.target import Target, with_app, with_target
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
            one.definition.schedule.words,
            "paused" if one.paused else "active",
            local_time(one.next_due),
            local_time(one.last_due),
            one.last_run.id if one.last_run else "",
        )
        for one in found
    ]
    show(Grid(columns, rows))


@recurring.command()
@json_option
@with_app
def store(target: Target, as_json: bool) -> None:
    """Store what the app declares with `every` and `cron`, as a worker does when it starts."""
    for one in target.recurring.store_declared():
        say(as_json, f"{one.id} is stored", **_as_json(one))


@recurring.command()
@click.argument("recurring_id")
@json_option
@with_target
def run(target: Target, recurring_id: str, as_json: bool) -> None:
    """Enqueue a run now, beside the schedule."""
    job = _find(target, recurring_id).run_now()
    say(as_json, job.id, **job_as_json(job))


@recurring.command()
@click.argument("recurring_id")
@json_option
@with_target
def pause(target: Target, recurring_id: str, as_json: bool) -> None:
    """Pause a recurring job: no further run is enqueued until you resume it."""
    found = _find(target, recurring_id)
    found.pause()
    say(as_json, f"{recurring_id} is paused", **_as_json(found))


@recurring.command()
@click.argument("recurring_id")
@json_option
@with_target
def resume(target: Target, recurring_id: str, as_json: bool) -> None:
    """Resume a paused recurring job."""
    found = _find(target, recurring_id)
    found.resume()
    say(as_json, f"{recurring_id} is next due {local_time(found.next_due)}", **_as_json(found))


@recurring.command()
@click.argument("recurring_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@with_target
def cancel(target: Target, recurring_id: str, yes: bool, as_json: bool) -> None:
    """Remove a recurring job for good; runs that are already enqueued stay."""
    found = _find(target, recurring_id)
    if confirmed(f"Cancel recurring job {found.id} of type {found.type}?", yes):
        found.cancel()
        say(as_json, "cancelled", id=found.id, cancelled=True)


def _as_json(one: Recurring) -> dict[str, object]:
    names = ("id", "queue", "type", "args", "kwargs", "schedule", "priority", "version", "missed", "overlap", "paused")
    times = {"next_due": one.next_due, "last_due": one.last_due}
    return {
        **as_plain({name: getattr(one, name) for name in names} | times),
        "last_run": one.last_run.id if one.last_run else None,
    }
