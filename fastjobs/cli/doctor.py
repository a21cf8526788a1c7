"""`fastjobs doctor`: is the server fit for jobs, and does anything work on them?"""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from fastjobs.cli import exits
from fastjobs.cli.target import Target, with_target
from fastjobs.logs import escape
from fastjobs.operating.doctor import Doctor, Level


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")
@with_target
def doctor(target: Target, as_json: bool) -> None:
    """Examine the server, its settings and what runs on it.

    \b
    Exit codes: 0 nothing worse than a warning; 1 a problem; 3 no server.
    """
    found = Doctor(target.store, target.jobs.queues, target.shown_url).examine()
    for finding in found:
        if as_json:
            click.echo(json.dumps(asdict(finding)))
            continue
        click.echo(escape(f"{finding.level.value:8} {finding.name}: {finding.text}"))
        if finding.advice:
            click.echo(escape(f"         -> {finding.advice}"))
    if any(finding.level is Level.PROBLEM for finding in found):
        raise SystemExit(exits.PROBLEM)
