"""The command `fastjobs` and its groups of subcommands, one module each."""

from __future__ import annotations

import click

from fastjobs import __version__
from fastjobs.cli.doctor import doctor
from fastjobs.cli.fsck import fsck
from fastjobs.cli.guard import guarded
from fastjobs.cli.info import info
from fastjobs.cli.job import job
from fastjobs.cli.jobs import failed, jobs
from fastjobs.cli.queue import queue
from fastjobs.cli.recurring import recurring
from fastjobs.cli.server import server
from fastjobs.cli.worker import command as worker
from fastjobs.cli.workers import workers

_EPILOG = """\b
Examples:
  fastjobs info                show queues and workers
  fastjobs info --watch        keep showing them
  fastjobs job show ID         show everything about one job
  fastjobs failed ls           list failed jobs, grouped by their errors
  fastjobs failed retry --type welcome
  fastjobs doctor              check whether the server is fit for jobs
  fastjobs fsck --fix          check everything that is stored, and repair it
  fastjobs server status       show whether this project's embedded server is running

\b
Exit codes: 0 done, 1 no (a problem found, no such worker, not drained), 2 wrong usage or no such job, 3 no server,
  4 a queue too busy for fsck, 70 a bug in fastjobs.
Run jobs with fastjobs-worker, or fastjobs worker.
"""


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fastjobs")
def command() -> None:
    """Show and operate persistent background jobs."""


for group in (info, job, jobs, failed, queue, recurring, workers, server, doctor, fsck):
    command.add_command(group)
command.add_command(worker, "worker")


def main() -> None:
    """Entry point of the command."""
    with guarded():
        command()
