"""Jobs that start programs, and what becomes of them."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import time

from fastjobs import FastJobs
from tests.apps.notes import note

app = FastJobs()

#: A shell and the program that it has started both go on until they are ended.
_SHELL = ["sh", "-c", "sleep 1000 & echo $!; wait"]


def _start(name: str, *, own_session: bool = False) -> None:
    shell = subprocess.Popen(_SHELL, stdout=subprocess.PIPE, text=True, start_new_session=own_session)
    assert shell.stdout is not None
    note(name, shell.pid, int(shell.stdout.readline()))


@app.job(timeout=1, retries=0)
def hangs(name: str) -> None:
    """Hangs in C, so that its process has to be killed."""
    _start(name)
    time.sleep(60)


@app.job(retries=0)
def waits(name: str) -> None:
    _start(name)
    while True:
        time.sleep(0.01)


@app.job(retries=0)
def forks(name: str) -> None:
    forked = multiprocessing.get_context("fork").Process(target=time.sleep, args=(1000,))
    forked.start()
    note(name, forked.pid)
    time.sleep(60)


@app.job
def crashes(name: str) -> None:
    _start(name)
    os.kill(os.getpid(), 9)


@app.job
def leaves(name: str) -> None:
    """Ends, while its programs go on."""
    _start(name)


@app.job
def leaves_daemon(name: str) -> None:
    """The same with a session of its own, in the very job that is killed."""
    _start(name, own_session=True)
    os.kill(os.getpid(), 9)


@app.job
def pid(name: str) -> None:
    note(name, os.getpid())
