"""The command `fastjobs`: one module per group of subcommands, gathered here."""

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
from fastjobs.cli.workers import workers

_EPILOG = """\b
Examples:
  fastjobs info                look at queues and workers once
  fastjobs info --watch        and go on looking
  fastjobs job show ID         all about one job
  fastjobs failed ls           failed jobs, grouped by their errors
  fastjobs failed retry --type welcome
  fastjobs doctor              is the server fit for jobs?
  fastjobs fsck --fix          compare all that is stored, and repair it
  fastjobs server status       is this project's embedded server running?

\b
Exit codes: 0 done, 1 doctor or fsck found something, 2 not usable, 3 no server, 4 fsck found no rest,
  70 a bug in fastjobs.
Jobs are run by fastjobs-worker.
"""


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fastjobs")
def command() -> None:
    """Look at, and look after, persistent background jobs."""


for group in (info, job, jobs, failed, queue, recurring, workers, server, doctor, fsck):
    command.add_command(group)


def main() -> None:
    """Entry point of the command."""
    with guarded():
        command()
