"""`fastjobs fsck`: compares all that is stored of queues, and repairs it."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from fastjobs.cli import exits
from fastjobs.cli.target import Target, with_target
from fastjobs.logs import escape
from fastjobs.operating.fsck import Fsck, Report


@click.command()
@click.option("--fix", is_flag=True, help="Put right what does not fit; without it nothing is changed.")
@click.option("--queue", "queues", multiple=True, metavar="NAME", help="Only this queue; may be given again.")
@click.option(
    "--patience",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="Seconds to wait for a moment in which nothing moves.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per partition of a queue and line.")
@with_target
def fsck(target: Target, fix: bool, queues: tuple[str, ...], patience: float, as_json: bool) -> None:
    """Compare all that is stored of queues, and repair it with --fix.

    For after a backup was restored, or somebody deleted keys by hand. A small queue (2000 entries) is compared in one
    step, whatever goes on; a larger one in a moment in which nothing moves: pause it and its producers if
    there is none.

    \b
    Exit codes: 0 all fits, or does now; 1 something does not; 4 a queue did not rest.
    """
    code = exits.OK
    chosen = (
        [name for queue in queues for name in target.jobs.partitions(queue)] if queues else target.jobs.partitions()
    )
    for name in chosen:
        one = Fsck(target.store, name, patience)
        report = one.repair() if fix else one.check()
        click.echo(json.dumps(_as_json(report)) if as_json else _as_text(report))
        code = max(code, {"drift": exits.DRIFT, "busy": exits.BUSY}.get(report.status, exits.OK))
    raise SystemExit(code)


def _as_json(report: Report) -> dict[str, object]:
    return {
        "queue": report.queue,
        "status": report.status,
        "lost": report.lost,
        "findings": [asdict(finding) for finding in report.findings],
        "counters": {
            name: {"counted": counted, "there": there} for name, (counted, there) in report.miscounted.items()
        },
        "changes": dict(report.changes),
    }


def _as_text(report: Report) -> str:
    words = {
        "clean": "all fits",
        "drift": "does not fit; --fix repairs it",
        "repaired": "repaired",
        "busy": "did not rest for long enough to be compared; pause it, and its producers, and try again",
    }
    lines = [f"{report.queue}: {words[report.status]}"]
    for finding in report.findings:
        number = f"{finding.jobs:,} " if finding.jobs else ""
        more = " ..." if finding.jobs > len(finding.ids) else ""
        lines.append(f"  {'LOST: ' if finding.lost else ''}{number}{finding.what}: {', '.join(finding.ids)}{more}")
    for name, (counted, there) in report.miscounted.items():
        lines.append(f"  {name}: {counted} counted, {there} there")
    if report.changes:
        entries = ", ".join(f"{number:,} of {key}" for key, number in sorted(report.changes.items()))
        lines.append(f"  entries {'changed' if report.status == 'repaired' else 'that differ'}: {entries}")
    return "\n".join(map(escape, lines))
