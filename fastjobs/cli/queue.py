"""`fastjobs queue`: look at queues, pause, resume and clear them."""

from __future__ import annotations

import json

import click

from fastjobs.cli.output import confirmed, console, plain_table, step_counter
from fastjobs.cli.target import Target, with_target
from fastjobs.model.status import Status
from fastjobs.operating.queues import Queue

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")


@click.group()
def queue() -> None:
    """Look at queues, pause, resume and clear them."""


@queue.command("ls")
@_JSON
@with_target
def ls(target: Target, as_json: bool) -> None:
    """List queues: how long each line is, how old its oldest job, whether it is paused."""
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
    console().print(plain_table(columns, [tuple(str(row[column]) for column in columns) for row in rows]))


@queue.command()
@click.argument("name")
@with_target
def pause(target: Target, name: str) -> None:
    """Let no job of a queue start any more."""
    Queue(target.store, name).pause()
    click.echo(f"{name} is paused")


@queue.command()
@click.argument("name")
@with_target
def resume(target: Target, name: str) -> None:
    """End a pause."""
    Queue(target.store, name).resume()
    click.echo(f"{name} goes on")


@queue.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_target
def clear(target: Target, name: str, yes: bool) -> None:
    """Drop all jobs of a queue that wait."""
    one = Queue(target.store, name)
    counts = target.jobs.counts([name])[name]
    number = counts[Status.QUEUED] + counts[Status.SCHEDULED] + counts[Status.RETRYING]
    if number and confirmed(f"Drop {number:,} jobs that wait in {name}?", yes):
        with step_counter("Drop") as told:
            number = one.clear(told)
        click.echo(f"{number:,} jobs")
    elif not number:
        click.echo("no jobs")


@queue.command()
@click.argument("name")
@click.option("--timeout", type=click.FloatRange(min=0), help="Give up after so many seconds [default: never].")
@with_target
def drain(target: Target, name: str, timeout: float | None) -> None:
    """Wait until nothing is queued, executing or retrying in a queue."""
    try:
        Queue(target.store, name).drain(timeout)
    except TimeoutError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{name} is drained")
