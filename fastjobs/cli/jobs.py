"""`fastjobs jobs` and `fastjobs failed` list and count jobs, and act on many of them."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable

import click

from fastjobs.cli import exits
from fastjobs.cli.output import confirmed, job_as_json, job_table, json_option, say, step_counter
from fastjobs.cli.tables import Grid, show
from fastjobs.cli.target import Target, with_target
from fastjobs.logs import escape
from fastjobs.model.partitions import queue_of
from fastjobs.model.status import Status
from fastjobs.operating.changed import Changed
from fastjobs.operating.selection import Selection

_STATUS = click.Choice([status.value for status in Status])
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")
_YES = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group()
def jobs() -> None:
    """List and count jobs by status, and act on many of them."""


def _filters(command: Callable[..., None]) -> Callable[..., None]:
    """Adds `--queue --type --error` to a command."""
    for option in (
        click.option("--error", help="Only jobs whose last error has this type."),
        click.option("--type", "type_name", help="Only jobs of this type."),
        click.option("--queue", help="Only jobs of this queue."),
    ):
        command = option(command)
    return command


@jobs.command("ls")
@click.argument("status", type=_STATUS)
@click.option("--queue", help="Only jobs of this queue.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Number of jobs to show at most."
)
@click.option("--cursor", help="Continue where the last page ended.")
@click.option("--reverse", is_flag=True, help="Reverse the order: latest first.")
@_JSON
@with_target
def ls(
    target: Target, status: str, queue: str | None, limit: int, cursor: str | None, reverse: bool, as_json: bool
) -> None:
    """List jobs with a status; queued jobs in the order they run."""
    target.warn_unless_used(queue)
    page = target.jobs.list(Status(status), queue=queue, limit=limit, cursor=cursor, reverse=reverse)
    if as_json:
        click.echo(json.dumps({"jobs": [job_as_json(job) for job in page.jobs], "cursor": page.cursor}))
        return
    show(job_table(page.jobs))
    if page.cursor is not None:
        show(f"more: --cursor {page.cursor}")


@jobs.command()
@click.argument("status", type=_STATUS, required=False)
@click.option("--queue", help="Only jobs of this queue.")
@click.option("--type", "type_name", help="Only jobs of this type (for failed and cancelled jobs).")
@_JSON
@with_target
def count(target: Target, status: str | None, queue: str | None, type_name: str | None, as_json: bool) -> None:
    """Count jobs of one status, or of each."""
    target.warn_unless_used(queue)
    statuses = list(Status) if status is None else [Status(status)]
    counts = {one.value: target.jobs.count(one, queue=queue, type=type_name) for one in statuses}
    if as_json:
        click.echo(json.dumps(counts))
    else:
        show(Grid(("status", "jobs"), [(name, f"{number:,}") for name, number in counts.items()]))


@jobs.command()
@click.option("--status", type=_STATUS, help="Only jobs with this status.")
@_filters
@json_option
@_YES
@with_target
def cancel(
    target: Target,
    status: str | None,
    queue: str | None,
    type_name: str | None,
    error: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Cancel waiting jobs, and ask running ones to end."""
    target.warn_unless_used(queue)
    selection = target.jobs.where(
        status=None if status is None else Status(status), queue=queue, type=type_name, error=error
    )
    _act(selection, "Cancel", selection.cancel_all, yes, as_json)


@jobs.command()
@click.option("--status", type=_STATUS, help="Only jobs with this status.")
@_filters
@json_option
@_YES
@with_target
def destroy(
    target: Target,
    status: str | None,
    queue: str | None,
    type_name: str | None,
    error: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove jobs without a trace."""
    target.warn_unless_used(queue)
    selection = target.jobs.where(
        status=None if status is None else Status(status), queue=queue, type=type_name, error=error
    )
    _act(selection, "Destroy", selection.destroy_all, yes, as_json)


@click.group()
def failed() -> None:
    """Show failed jobs by their errors; retry or purge them."""


@failed.command("ls")
@click.option("--queue", help="Only jobs of this queue.")
@click.option("--type", "type_name", help="Only jobs of this type.")
@_JSON
@with_target
def failed_ls(target: Target, queue: str | None, type_name: str | None, as_json: bool) -> None:
    """Group failed jobs by queue, type and error."""
    target.warn_unless_used(queue)
    groups: Counter[tuple[str, str, str]] = Counter()
    examples: dict[tuple[str, str, str], tuple[str, str]] = {}
    for name, found in target.handles.steps(Status.FAILED, target.jobs.partitions(queue)):
        for job in found:
            last = job.record.errors[-1] if job.record.errors else None
            if type_name not in (None, job.record.type):
                continue
            group = (queue_of(name), job.record.type, last.type if last else "")
            groups[group] += 1
            examples[group] = (job.record.id, last.message if last else "")
    rows = [(*group, number, *examples[group]) for group, number in groups.most_common()]
    columns = ("queue", "type", "error", "jobs", "latest", "message")
    if as_json:
        for row in rows:
            click.echo(json.dumps(dict(zip(columns, row, strict=True))))
        return
    show(Grid(columns, [tuple(map(str, row)) for row in rows]))


@failed.command("retry")
@_filters
@json_option
@_YES
@with_target
def failed_retry(
    target: Target, queue: str | None, type_name: str | None, error: str | None, yes: bool, as_json: bool
) -> None:
    """Run failed jobs again."""
    target.warn_unless_used(queue)
    selection = target.jobs.where(status=Status.FAILED, queue=queue, type=type_name, error=error)
    _act(selection, "Retry", selection.retry_all, yes, as_json)


@failed.command("purge")
@_filters
@json_option
@_YES
@with_target
def failed_purge(
    target: Target, queue: str | None, type_name: str | None, error: str | None, yes: bool, as_json: bool
) -> None:
    """Remove failed jobs without a trace."""
    target.warn_unless_used(queue)
    selection = target.jobs.where(status=Status.FAILED, queue=queue, type=type_name, error=error)
    _act(selection, "Destroy", selection.destroy_all, yes, as_json)


def _act(
    selection: Selection,
    verb: str,
    operation: Callable[[Callable[[int], None] | None], Changed],
    yes: bool,
    as_json: bool,
) -> None:
    """Shows how many jobs are selected, asks, and acts; ends with an exit code of its own when jobs were skipped."""
    number = selection.count()
    if number == 0:
        say(as_json, "no jobs", jobs=0, skipped=0, reasons={})
        return
    if not confirmed(f"{verb} {number:,} jobs{_named(selection)}?", yes):
        return
    with step_counter(verb) as progress:
        changed = operation(progress)
    say(as_json, f"{changed:,} jobs", jobs=int(changed), skipped=changed.skipped, reasons=dict(changed.reasons))
    if changed.skipped and not as_json:
        click.echo(f"{changed.skipped:,} skipped, because they cannot be changed:", err=True)
        for name, reason in changed.reasons:
            click.echo(f"  {escape(name)}: {escape(reason)}", err=True)
    if changed.skipped:
        sys.exit(exits.SKIPPED)


def _named(selection: Selection) -> str:
    return escape(f" ({selection})") if str(selection) else ""
