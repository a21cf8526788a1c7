"""An app whose hooks hang around the jobs that ask for it."""

from __future__ import annotations

import threading

from fastjobs import FastJobs, Job

app = FastJobs()


@app.before_job
def before(job: Job) -> None:
    hang_if(job.args == ["before"])


@app.after_job
def after(job: Job) -> None:
    hang_if(job.args == ["after"])


@app.on_failed
def failed(job: Job) -> None:
    hang_if(job.args == ["failed"])


def hang_if(wanted: bool) -> None:
    if wanted:
        threading.Event().wait()


@app.job(retries=1, retry_delay=0)
def work(name: str) -> None:
    if name == "failed":
        raise ValueError("as asked")
