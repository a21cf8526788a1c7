"""`fastjobs info` shows queues, workers and rates. It only reads."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fastjobs.cli.output import console
from fastjobs.cli.target import Target, with_target
from fastjobs.logs import escape
from fastjobs.model.status import Status
from fastjobs.operating.rates import Look, look
from fastjobs.operating.workers import Worker, Workers
from fastjobs.server.connection import server_version

#: Seconds between the two looks from which rates are computed without --watch.
_GLANCE_S = 0.5

_COLOURS = {Status.EXECUTING: "cyan", Status.RETRYING: "yellow", Status.FINISHED: "green", Status.FAILED: "red"}


@dataclass(frozen=True, slots=True)
class _Picture:
    """Everything that is shown, as it is at one moment."""

    server: str
    url: str
    namespace: str
    counts: dict[str, dict[Status, int]]
    totals: Look
    #: Jobs per second since the picture before; None in the first one.
    rates: dict[str, float] | None
    workers: list[Worker]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; with --watch one per line.")
@click.option(
    "--watch",
    type=click.FloatRange(min=0.1, max=3600),
    is_flag=False,
    flag_value=1.0,
    metavar="[SECONDS]",
    help="Show it again every second, or every SECONDS, until interrupted.",
)
@click.option("--count", type=click.IntRange(min=1), help="With --watch: stop after this many times.")
@with_target
def info(target: Target, as_json: bool, watch: float | None, count: int | None) -> None:
    """Show queues, workers and rates.

    Name APP only if the server is configured in its code and nowhere else. Without APP no code is imported.
    """
    if count is not None and watch is None:
        raise click.UsageError("--count needs --watch")
    if watch is None:
        _glance(target, as_json)
        return
    pictures = itertools.islice(_pictures(target, watch), count)
    try:
        if as_json:
            for picture in pictures:
                click.echo(_as_json(picture))
        else:
            _show_live(pictures)
    except KeyboardInterrupt:
        return  # Ctrl-C ends the watch.


def _glance(target: Target, as_json: bool) -> None:
    """Prints one picture: at once for programs, which can compute rates from the totals; with rates for people."""
    if as_json:
        click.echo(_as_json(next(_pictures(target, 0))))
        return
    *_, last = itertools.islice(_pictures(target, _GLANCE_S), 2)
    console().print(_as_tables(last))


def _show_live(pictures: Iterator[_Picture]) -> None:
    page = console()
    if not page.is_terminal:
        for picture in pictures:
            page.print(_as_tables(picture))
        return
    with Live(console=page, auto_refresh=False) as live:
        for picture in pictures:
            live.update(_as_tables(picture), refresh=True)


def _pictures(target: Target, every_s: float) -> Iterator[_Picture]:
    """Yields a picture, and then another one every `every_s` seconds, without end."""
    # The first call to the store finds out whether there is a server; its version is asked for afterwards.
    queues = target.jobs.queues()
    server = server_version(target.url, target.config.socket_timeout_s)
    workers = Workers(target.store)
    before: Look | None = None
    for number in itertools.count():
        due_at_s = time.monotonic() + every_s
        if number:
            queues = target.jobs.queues()
        now = look(target.store, queues)
        yield _Picture(
            server=server,
            url=target.shown_url,
            namespace=target.config.namespace,
            counts=target.jobs.counts(queues),
            totals=now,
            rates=None if before is None else now.rates_since(before),
            workers=workers.list(),
        )
        before = now
        time.sleep(max(0.0, due_at_s - time.monotonic()))


def _as_json(picture: _Picture) -> str:
    queues = {
        name: {"counts": {status.value: number for status, number in counts.items()}, "totals": asdict(totals)}
        for (name, counts), totals in zip(picture.counts.items(), picture.totals.queues.values(), strict=True)
    }
    values = {
        "server": picture.server,
        "url": picture.url,
        "namespace": picture.namespace,
        "at_ms": time.time_ns() // 1_000_000,
        "queues": queues,
        "totals": asdict(picture.totals.sum),
        "rates": picture.rates,
        "workers": [_worker_as_json(worker) for worker in picture.workers],
    }
    # ASCII only: control characters are escaped, and the locale does not matter.
    return json.dumps(values)


def _worker_as_json(worker: Worker) -> dict[str, Any]:
    values = asdict(worker)
    age: timedelta = values.pop("age")
    return values | {
        "started_at": worker.started_at.isoformat(),
        "beat_at": worker.beat_at.isoformat(),
        "age_s": age.total_seconds(),
    }


def _as_tables(picture: _Picture) -> RenderableType:
    title = Text(f"{escape(picture.server)} at {escape(picture.url)}, namespace {escape(picture.namespace)}")
    return Group(title, _queue_table(picture), _worker_table(picture.workers), _rates_line(picture))


def _queue_table(picture: _Picture) -> RenderableType:
    if not picture.counts:
        return Text("\nno queue has been used yet")
    table = Table(title="queues", title_justify="left", title_style="bold")
    table.add_column("queue")
    for status in Status:
        table.add_column(status.value, justify="right")
    for name, counts in picture.counts.items():
        table.add_row(Text(escape(name)), *(_number(status, counts[status]) for status in Status))
    if len(picture.counts) > 1:
        table.add_section()
        sums = {status: sum(counts[status] for counts in picture.counts.values()) for status in Status}
        table.add_row("all", *(_number(status, sums[status]) for status in Status))
    return table


def _number(status: Status, number: int) -> Text:
    return Text(f"{number:,}", style=_COLOURS.get(status, "") if number else "dim")


def _worker_table(workers: list[Worker]) -> RenderableType:
    if not workers:
        return Text("no worker is running; start one with fastjobs-worker")
    table = Table(title="workers", title_justify="left", title_style="bold")
    for name in ("worker", "processes x threads", "queues"):
        table.add_column(name, overflow="fold")
    for name in ("executed", "running", "last beat"):
        table.add_column(name, justify="right")
    for worker in workers:
        table.add_row(
            Text(escape(worker.name)),
            f"{worker.processes} x {worker.threads}",
            Text(escape(", ".join(worker.queues))),
            f"{worker.executed:,}",
            f"{len(worker.running):,}",
            f"{worker.age.total_seconds():.0f} s ago",
        )
    return table


def _rates_line(picture: _Picture) -> Text:
    totals = picture.totals.sum
    ever = f"ever: {totals.enqueued:,} enqueued, {totals.finished:,} finished, {totals.failed:,} failed"
    if picture.rates is None:
        return Text(ever)
    rates = picture.rates
    return Text(
        f"jobs/s: {rates['enqueued']:,.0f} enqueued, {rates['finished']:,.0f} finished,"
        f" {rates['failed']:,.0f} failed, {rates['retried']:,.0f} retried; {ever}"
    )
