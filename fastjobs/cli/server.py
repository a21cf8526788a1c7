"""`fastjobs server` starts, stops and shows the embedded server of this project."""

from __future__ import annotations

import json

import click

from fastjobs.cli.output import json_option, say
from fastjobs.server import embedded

#: Exit code of `status` when no server is running, as in the Linux Standard Base.
NOT_RUNNING = 3


@click.group()
def server() -> None:
    """Start, stop or show this project's embedded server."""


@server.command()
@json_option
def start(as_json: bool) -> None:
    """Start the server, or show the one that is already running."""
    info = embedded.start()
    text = _line(info, "started" if info.started else "already running")
    say(as_json, text, **_fields(info), started=info.started)


@server.command()
@json_option
def stop(as_json: bool) -> None:
    """Stop the server; its data is on disk when this returns."""
    stopped = embedded.stop()
    say(as_json, "stopped" if stopped else "not running", running=False, stopped=stopped)


@server.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Show the server; the exit code is 3 when none is running."""
    info = embedded.status()
    if as_json:
        click.echo(json.dumps(_fields(info)))
    else:
        click.echo(_line(info, "running") if info else "not running")
    if info is None:
        context.exit(NOT_RUNNING)


def _line(info: embedded.ServerInfo, status: str) -> str:
    return f"{status}: {info.version}, pid {info.pid}, {info.url}, data in {info.directory}"


def _fields(info: embedded.ServerInfo | None) -> dict[str, object]:
    if info is None:
        return {"running": False}
    return {
        "running": True,
        "url": info.url,
        "pid": info.pid,
        "version": info.version,
        "directory": str(info.directory),
    }
