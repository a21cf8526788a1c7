"""`fastjobs fsck`: compares all that is stored of queues, and repairs it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click

from fastjobs.cli import exits
from fastjobs.cli.target import Target, with_target
from fastjobs.logs import escape
from fastjobs.operating.fsck import Fsck, Report, check_queue_list
from fastjobs.operating.fsck.findings import Found

_EXIT_CODES = {"drift": exits.DRIFT, "busy": exits.BUSY, "denied": exits.DENIED}
_STATUSES = {
    "clean": "everything fits",
    "drift": "some entries do not fit; repair them with --fix",
    "repaired": "repaired",
    "denied": "not compared, or not repaired to the end: this user lacks a right (docs/redis.md lists them)",
    "busy": "jobs moved all the time, so nothing was compared; pause the queue and its producers, and try again",
}


@click.command()
@click.option("--fix", is_flag=True, help="Repair what does not fit; without it nothing is changed.")
@click.option("--queue", "queues", multiple=True, metavar="NAME", help="Only this queue; may be given several times.")
@click.option(
    "--patience",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="Seconds to wait for a moment in which no job moves.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line and partition of a queue.")
@with_target
def fsck(target: Target, fix: bool, queues: tuple[str, ...], patience: float, as_json: bool) -> None:
    """Compare all that is stored of queues, and repair it with --fix.

    Use it after you restored a backup, or after somebody deleted keys by hand. A small queue (2000 entries) is compared
    in one step, even while workers run. A larger one is compared while no job moves: if it never rests, pause it and
    its producers.

    \b
    Exit codes: 0 everything fits, or does now; 1 something does not fit; 4 a queue was too busy to compare;
    6 this user lacks a right.
    """
    code = exits.OK
    for report in _reports(target, queues, fix, patience):
        click.echo(json.dumps(_as_json(report)) if as_json else _as_text(report))
        code = max(code, _EXIT_CODES.get(report.status, exits.OK))
    raise SystemExit(code)


def _reports(target: Target, queues: tuple[str, ...], fix: bool, patience_s: float) -> Iterator[Report]:
    if not queues:
        listed = check_queue_list(target.store(), fix=fix)
        if listed.status != "clean":
            yield listed
    for name in _partitions(target, queues):
        one = Fsck(target.store, name, patience_s)
        yield one.repair() if fix else one.check()


def _partitions(target: Target, queues: tuple[str, ...]) -> list[str]:
    for queue in queues:
        target.warn_unless_used(queue)
    if not queues:
        return target.jobs.partitions()
    return [name for queue in queues for name in target.jobs.partitions(queue)]


def _as_json(report: Report) -> dict[str, object]:
    return {
        "queue": report.partition or None,
        "status": report.status,
        "lost": report.lost,
        "findings": [
            {
                "name": found.finding.name.lower(),
                "what": found.what,
                "jobs": found.jobs,
                "ids": found.ids,
                "lost": found.lost,
            }
            for found in report.findings
        ],
        "counters": {
            name: {"counted": counted, "there": there} for name, (counted, there) in report.miscounted.items()
        },
        "changes": dict(report.changes),
        "denied": None if report.denied is None else str(report.denied),
    }


def _as_text(report: Report) -> str:
    lines = [f"{report.partition or 'list of queues'}: {_STATUSES[report.status]}"]
    if report.denied is not None:
        right = report.denied.missing_right
        lines.append(f"  {report.denied}" + (f"; give it {right}" if right else ""))
    lines += map(_finding, report.findings)
    lines += [
        f"  {name}: the counter says {counted}, there are {there}"
        for name, (counted, there) in report.miscounted.items()
    ]
    if report.changes:
        entries = ", ".join(f"{number:,} of {key}" for key, number in sorted(report.changes.items()))
        lines.append(f"  entries {'changed' if report.status == 'repaired' else 'that differ'}: {entries}")
    return "\n".join(map(escape, lines))


def _finding(found: Found) -> str:
    number = f" ({found.jobs:,})" if found.jobs else ""
    more = " ..." if found.jobs > len(found.ids) else ""
    return f"  {'LOST: ' if found.lost else ''}{found.what}{number}: {', '.join(found.ids)}{more}"
