"""fastjobs: as it comes, with one process, and with a call for each job."""

import sys
from pathlib import Path

from bench.peers import jobs
from fastjobs import FastJobs

app = FastJobs(jobs.URL)
_types = {handler.__name__: app.job(handler) for handler in jobs.HANDLERS}


def bulk(items):
    if jobs.CONFIGURATION == "one by one":
        for item in items:
            _types["welcome"].enqueue(**item)
    else:
        _types["welcome"].enqueue_many(items)


def one(job, **arguments):
    _types[job].enqueue(**arguments)


def worker():
    command = [Path(sys.executable).with_name("fastjobs-worker"), f"{__name__}:app"]
    return command if jobs.CONFIGURATION == "default" else [*command, "-p", "1"]
