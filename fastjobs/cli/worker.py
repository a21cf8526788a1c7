"""The command `fastjobs-worker` makes a supervisor from arguments and settings, and runs it."""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import orjson

from fastjobs import __version__
from fastjobs.cli import streams
from fastjobs.cli.guard import guarded
from fastjobs.config import Config, WorkerConfig, load_worker_config
from fastjobs.loader import resolve_target
from fastjobs.logs import configure, event
from fastjobs.model.urls import mask_url
from fastjobs.server.connection import server_version
from fastjobs.server.endpoint import Endpoint
from fastjobs.worker.supervisor.supervisor import Supervisor

log = logging.getLogger("fastjobs.supervisor")

_HELP = """Run the jobs of an app.

APP is "module:variable", "module" or "path/to/file.py". Without it the worker takes FASTJOBS_APP, then `app` in
[tool.fastjobs] of pyproject.toml, then jobs.py or app.py in this directory. If other modules have handlers of the app
and importing APP does not import them, name them as well.

You can also set every option in the environment (FASTJOBS_PROCESSES=8) or in [tool.fastjobs].
"""

_EPILOG = """\b
Examples:
  fastjobs-worker -p 8
  fastjobs-worker shop.jobs:app -p 8 -c 4 -Q mail,default
  fastjobs-worker shop.core:app shop.mail shop.reports
  fastjobs-worker shop.core:app --include shop
  fastjobs-worker -Q urgent:3,bulk:1 --burst

\b
Signals: TERM or INT stop the worker gracefully, a second one or QUIT immediately; TSTP starts nothing more;
  HUP restarts the processes; USR1 prints the stacks of all of them.
Exit codes: 0 stopped, 1 stopped by force, 2 unusable app or setting, 3 no server, 5 processes keep exiting.
"""


@click.command(help=_HELP, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, metavar="[APP] [MODULE]...")
@click.option("--include", multiple=True, help="Import this module too, or all of a package; may be repeated.")
@click.option("--url", help="URL of the server, instead of the one that the app uses.")
@click.option("--name", help="Name of the worker in lists, logs and errors [default: host:pid].")
@click.option("-p", "--processes", type=int, help="Processes [default: number of CPUs].")
@click.option("-c", "--concurrency", type=int, help="Threads per process that run jobs [default: 1].")
@click.option(
    "-Q",
    "--queues",
    multiple=True,
    help="Queues in strict order (a,b) or by weight (a:3,b:1); may be repeated [default: all].",
)
@click.option("--batch-size", type=int, help="Unstarted jobs a process may hold; 1 = strict priority.")
@click.option("--burst/--no-burst", default=None, help="Stop when all queues are drained.")
@click.option("--shutdown-timeout", type=float, help="Seconds that running jobs have to end [default: 25].")
@click.option("--start-timeout", type=float, help="Seconds that a process has to start [default: 600].")
@click.option("--max-jobs-per-child", type=int, help="Replace a process after this many jobs [default: never].")
@click.option("--max-memory-per-child", type=int, help="Replace a process that uses more MiB [default: never].")
@click.option("--reload/--no-reload", default=None, help="Restart the processes when Python files change.")
@click.option("--log-level", help="debug, info, warning or error [default: info].")
@click.option("--log-format", help="text or json [default: text].")
@click.version_option(__version__, prog_name="fastjobs-worker")
def command(
    names: tuple[str, ...], url: str | None, queues: tuple[str, ...], include: tuple[str, ...], **options: Any
) -> None:
    """Runs a worker."""
    app, modules = (names[0], names[1:]) if names else (None, ())
    options |= {"queues": ",".join(queues) or None, "include": [*modules, *include] or None}
    given = {name: value for name, value in options.items() if value is not None}
    renamed = {
        "concurrency": "threads",
        "shutdown_timeout": "shutdown_timeout_s",
        "start_timeout": "start_timeout_s",
        "max_memory_per_child": "max_memory_per_child_mb",
    }
    settings = {renamed.get(name, name): value for name, value in given.items()}
    sys.exit(_run(resolve_target(app), load_worker_config(**settings), url=url))


def _run(
    target: str,
    config: WorkerConfig,
    lifeline: int = -1,
    url: str | None = None,
    on_ready: Callable[[], object] = lambda: None,
) -> int:
    configure(config.log_level, config.log_format)

    def announce(hello: dict[str, Any]) -> None:
        on_ready()
        facts = _facts(target, config, hello)
        if config.log_format == "json":
            event(log, logging.INFO, "worker started", **facts)
        else:
            streams.say(_banner(facts))

    try:
        return Supervisor(target, config, announce, lifeline, url).run()
    finally:
        streams.flush()


def _facts(target: str, config: WorkerConfig, hello: dict[str, Any]) -> dict[str, Any]:
    url = Endpoint(Config(**hello["config"]), Path(hello["directory"])).url
    return {
        "version": __version__,
        "python": platform.python_version(),
        "pid": os.getpid(),
        "server": server_version(url),
        "url": mask_url(url),
        "app": target,
        "queues": hello["queues"],
        "processes": config.processes,
        "threads": config.threads,
        "types": hello["types"],
    }


def _banner(facts: dict[str, Any]) -> str:
    types = ", ".join(facts["types"][:10]) + (" ..." if len(facts["types"]) > 10 else "")
    lines = [
        f"fastjobs {facts['version']} (compiled) on Python {facts['python']}, pid {facts['pid']}",
        f"  server     {facts['server']} at {facts['url']}",
        f"  app        {facts['app']}",
        f"  queues     {', '.join(facts['queues'])}",
        f"  processes  {facts['processes']} x {facts['threads']} thread(s)",
        f"  job types  {types}",
    ]
    return "\n".join(lines)


def run_pool() -> None:
    """Entry point of the worker behind `app.pool`."""
    streams.open_missing()
    target, settings, lifeline, ready = orjson.loads(sys.argv[1])

    def report_ready() -> None:
        os.write(ready, b"1")

    with guarded():
        sys.exit(_run(target, load_worker_config(**settings), lifeline, on_ready=report_ready))


def main() -> None:
    """Entry point of the command."""
    streams.open_missing()
    with guarded():
        command()
