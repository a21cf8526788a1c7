"""`fastjobs queue` lists, pauses, resumes, clears, drains and forgets queues."""

from __future__ import annotations

import json

import click

from fastjobs.cli.output import confirmed, json_option, say, step_counter
from fastjobs.cli.tables import Grid, show
from fastjobs.cli.target import Target, with_target
from fastjobs.errors import QueueInUse
from fastjobs.model.status import Status
from fastjobs.operating.queues import Queue

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")


@click.group()
def queue() -> None:
    """List, pause, resume, clear, drain and forget queues."""


@queue.command("ls")
@_JSON
@with_target
def ls(target: Target, as_json: bool) -> None:
    """List queues: length, latency, whether paused."""
    rows = []
    for name, counts in target.jobs.counts().items():
        one = Queue(target.store, name)
        latency_s = round(one.latency().total_seconds(), 3)
        waiting = {status.value: counts[status] for status in (Status.QUEUED, Status.SCHEDULED, Status.RETRYING)}
        rows.append({"queue": name, **waiting, "latency_s": latency_s, "paused": one.paused})
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
        return
    columns = ("queue", "queued", "scheduled", "retrying", "latency_s", "paused")
    show(Grid(columns, [tuple(str(row[column]) for column in columns) for row in rows]))


@queue.command()
@click.argument("name")
@json_option
@with_target
def pause(target: Target, name: str, as_json: bool) -> None:
    """Pause a queue: none of its jobs start any more."""
    target.queue(name).pause()
    say(as_json, f"{name} is paused", queue=name, paused=True)


@queue.command()
@click.argument("name")
@json_option
@with_target
def resume(target: Target, name: str, as_json: bool) -> None:
    """Resume a paused queue."""
    target.queue(name).resume()
    say(as_json, f"{name} is resumed", queue=name, paused=False)


@queue.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@with_target
def clear(target: Target, name: str, yes: bool, as_json: bool) -> None:
    """Drop all waiting jobs of a queue."""
    one = target.queue(name)
    counts = target.jobs.counts([name])[name]
    number = counts[Status.QUEUED] + counts[Status.SCHEDULED] + counts[Status.RETRYING]
    if number and confirmed(f"Drop {number:,} waiting jobs of {name}?", yes):
        with step_counter("Drop") as progress:
            number = one.clear(progress)
        say(as_json, f"{number:,} jobs", queue=name, jobs=number)
    elif not number:
        say(as_json, "no jobs", queue=name, jobs=0)


@queue.command()
@click.argument("names", nargs=-1)
@click.option("--unused", is_flag=True, help="Forget every queue that is empty and that nobody uses.")
@json_option
@with_target
def forget(target: Target, names: tuple[str, ...], unused: bool, as_json: bool) -> None:
    """Take queues that are empty and that nobody uses off the list."""
    if bool(names) == unused:
        raise click.UsageError("give the names of queues, or --unused")
    for name in names or target.jobs.queues():
        try:
            Queue(target.store, name).forget()
        except QueueInUse as error:
            if unused:
                continue
            raise click.ClickException(str(error)) from error
        say(as_json, f"{name} is forgotten", queue=name, forgotten=True)


@queue.command()
@click.argument("name")
@click.option("--timeout", type=click.FloatRange(min=0), help="Give up after this many seconds [default: never].")
@json_option
@with_target
def drain(target: Target, name: str, timeout: float | None, as_json: bool) -> None:
    """Wait until nothing is queued, executing or retrying in a queue."""
    try:
        target.queue(name).drain(timeout)
    except TimeoutError as error:
        raise click.ClickException(str(error)) from error
    say(as_json, f"{name} is drained", queue=name, drained=True)
