"""`fastjobs info` shows queues, workers and rates. It only reads."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import click

from fastjobs.cli.tables import Grid, Part, live, show
from fastjobs.cli.target import Target, with_target
from fastjobs.cli.workers import worker_as_json
from fastjobs.model.status import Status
from fastjobs.model.times import instant
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
    show(*_parts(last))


def _show_live(pictures: Iterator[_Picture]) -> None:
    with live() as page:
        for picture in pictures:
            page(*_parts(picture))


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
        "at": instant(time.time_ns() // 1_000_000).isoformat(),
        "queues": queues,
        "totals": asdict(picture.totals.sum),
        "rates": picture.rates,
        "workers": [worker_as_json(worker) for worker in picture.workers],
    }
    # ASCII only: control characters are escaped, and the locale does not matter.
    return json.dumps(values)


def _parts(picture: _Picture) -> list[Part]:
    title = f"{picture.server} at {picture.url}, namespace {picture.namespace}"
    return [title, "", _queues(picture), "", _workers(picture.workers), "", _rates(picture)]


def _queues(picture: _Picture) -> Part:
    if not picture.counts:
        return "no queue has been used yet"
    rows = [_row(name, counts) for name, counts in picture.counts.items()]
    if len(rows) > 1:
        sums = {status: sum(counts[status] for counts in picture.counts.values()) for status in Status}
        rows.append(_row("all", sums))
    statuses = [status.value for status in Status]
    colours = {status.value: colour for status, colour in _COLOURS.items()}
    return Grid(("queue", *statuses), rows, title="queues", right=statuses, colours=colours)


def _row(name: str, counts: Mapping[Status, int]) -> list[str]:
    return [name, *(f"{counts[status]:,}" for status in Status)]


def _workers(workers: list[Worker]) -> Part:
    if not workers:
        return "no worker is running; start one with fastjobs-worker"
    rows = [
        (
            worker.name,
            f"{worker.processes} x {worker.threads}",
            ", ".join(worker.queues),
            f"{worker.executed:,}",
            f"{len(worker.running):,}",
            f"{worker.age.total_seconds():.0f} s ago",
        )
        for worker in workers
    ]
    right = ("executed", "running", "last beat")
    return Grid(("worker", "processes x threads", "queues", *right), rows, title="workers", right=right)


def _rates(picture: _Picture) -> str:
    totals = picture.totals.sum
    ever = f"ever: {totals.enqueued:,} enqueued, {totals.finished:,} finished, {totals.failed:,} failed"
    if picture.rates is None:
        return ever
    rates = picture.rates
    return (
        f"jobs/s: {rates['enqueued']:,.0f} enqueued, {rates['finished']:,.0f} finished,"
        f" {rates['failed']:,.0f} failed, {rates['retried']:,.0f} retried; {ever}"
    )
