"""`fastjobs workers` lists workers, and orders them to start nothing more or to stop."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from fastjobs.cli.output import as_plain, json_option, say
from fastjobs.cli.tables import Grid, show
from fastjobs.cli.target import Target, with_target
from fastjobs.operating.workers import Worker, Workers


@click.group()
def workers() -> None:
    """List workers, and order them to start nothing more or to stop."""


@workers.command("ls")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")
@with_target
def ls(target: Target, as_json: bool) -> None:
    """List workers with the jobs they were running at their last heartbeat."""
    found = Workers(target.store).list()
    if as_json:
        for worker in found:
            click.echo(json.dumps(worker_as_json(worker)))
        return
    rows = [
        (
            worker.name,
            f"{worker.processes} x {worker.threads}",
            ", ".join(worker.queues),
            f"{worker.executed:,}",
            "quiet" if worker.quiet else "working",
            f"{worker.age.total_seconds():.0f} s ago",
            "\n".join(
                [f"{job.id} for {job.seconds:.1f} s in {job.pid}" for job in worker.running]
                + [f"process {pid} is starting" for pid in worker.starting]
            ),
        )
        for worker in found
    ]
    columns = ("worker", "processes x threads", "queues", "executed", "status", "last beat", "running")
    show(Grid(columns, rows))


def worker_as_json(worker: Worker) -> dict[str, Any]:
    """Returns everything about a worker, ready for JSON."""
    values = as_plain(asdict(worker))
    for job in values["running"]:
        job["running_s"] = job.pop("seconds")
    return values


@workers.command()
@click.argument("name")
@json_option
@with_target
def quiet(target: Target, name: str, as_json: bool) -> None:
    """Tell a worker (its name, its id, or `all`) to start nothing more."""
    for worker in _chosen(target, name):
        Workers(target.store).quiet(worker)
        say(
            as_json,
            f"{worker.name} will be quiet with its next heartbeat",
            worker=worker.name,
            id=worker.id,
            order="quiet",
        )


@workers.command()
@click.argument("name")
@json_option
@with_target
def stop(target: Target, name: str, as_json: bool) -> None:
    """Tell a worker (its name, its id, or `all`) to stop, as SIGTERM does."""
    for worker in _chosen(target, name):
        Workers(target.store).stop(worker)
        say(as_json, f"{worker.name} will stop with its next heartbeat", worker=worker.name, id=worker.id, order="stop")


def _chosen(target: Target, name: str) -> list[Worker]:
    chosen = [worker for worker in Workers(target.store).list() if name in ("all", worker.name, worker.id)]
    if not chosen:
        raise click.ClickException(f"no worker named {name!r} is alive")
    if name != "all" and len(chosen) > 1:
        ids = ", ".join(worker.id for worker in chosen)
        raise click.ClickException(f"{len(chosen)} workers are named {name!r}: use an id, {ids}, or all")
    return chosen
