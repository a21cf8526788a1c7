"""fastjobs."""

import sys
from pathlib import Path

from bench.peers import jobs
from fastjobs import FastJobs

app = FastJobs(jobs.URL)
_welcome, _mark = app.job(jobs.welcome), app.job(jobs.mark)


def enqueue(items):
    _welcome.enqueue_many(items)


def mark(name):
    _mark.enqueue(name)


def worker():
    return [Path(sys.executable).with_name("fastjobs-worker"), f"{__name__}:app", "-p", "1"]
