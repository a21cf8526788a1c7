"""`fastjobs doctor`: checks whether the server is fit for jobs, and whether workers run them."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from fastjobs.cli import exits
from fastjobs.cli.target import Target, with_target
from fastjobs.logs import escape
from fastjobs.operating.doctor import Diagnosis, Doctor, Level


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")
@with_target
def doctor(target: Target, as_json: bool) -> None:
    """Check the server, its settings and the workers.

    \b
    Exit codes: 0 nothing worse than a warning; 1 a problem; 3 no server.
    """
    found = Doctor(target.store, target.jobs.queues, target.shown_url).examine()
    for diagnosis in found:
        click.echo(json.dumps(asdict(diagnosis)) if as_json else _as_text(diagnosis))
    if any(diagnosis.level is Level.PROBLEM for diagnosis in found):
        raise SystemExit(exits.PROBLEM)


def _as_text(diagnosis: Diagnosis) -> str:
    lines = [f"{diagnosis.level.value:8} {diagnosis.name}: {diagnosis.text}"]
    if diagnosis.advice:
        lines.append(f"         -> {diagnosis.advice}")
    return "\n".join(map(escape, lines))
