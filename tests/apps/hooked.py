"""An app whose hooks note what they are called with."""

from __future__ import annotations

import time

from fastjobs import FastJobs, Job, Retry
from tests.apps.notes import note

app = FastJobs()


@app.on_worker_start
def starts(worker: str) -> None:
    note("worker starts", ":" in worker)


@app.on_worker_start
def starts_badly(worker: str) -> None:
    raise RuntimeError("bad start hook")


@app.on_worker_stop
def stops(worker: str) -> None:
    note("worker stops")


@app.before_job
def before(job: Job) -> None:
    note("before", job.id, job.status, job.args, job.attempts)


@app.before_job
def before_badly(job: Job) -> None:
    raise SystemExit("bad before hook")


@app.after_job
def after_badly(job: Job) -> None:
    raise RuntimeError("bad after hook")


@app.after_job
def after(job: Job) -> None:
    error = job.error.type if job.error else None
    ran = job.duration is not None and job.duration.total_seconds() >= 0.01 and job.worker is not None
    note("after", job.id, job.status, error, job.attempts, job.retries_left, ran, job.due_at is not None)


@app.on_failed
def failed(job: Job) -> None:
    note("failed", job.id, job.error.message)


@app.job(retries=1, retry_delay=0)
def work(outcome: str) -> None:
    time.sleep(0.011)
    if outcome == "error":
        raise ValueError("as asked")
    if outcome == "retry":
        raise Retry(in_=3600)


@app.job(retries=1)
def waits(name: str) -> None:
    time.sleep(0.011)
    note("waits began")
    while True:
        time.sleep(0.01)
