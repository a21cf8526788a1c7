"""What a handle tells of a job from its enqueue to its end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fastjobs import Status
from tests.harness.worker import Lab


def test_a_job_is_executing_while_its_handler_runs(lab: Lab) -> None:
    gate = lab.gate()
    job = lab.jobs.hold.enqueue("held", str(gate))
    assert job.refresh().status == Status.QUEUED
    worker = lab.worker()
    lab.wait_started("held")
    assert job.refresh().status == Status.EXECUTING
    assert lab.app.jobs.count(Status.EXECUTING) == 1
    assert list(lab.app.jobs.ids(Status.EXECUTING)) == [job.id]
    gate.touch()
    lab.wait(lambda: job.refresh().status == Status.FINISHED, "the job has finished")
    assert worker.stop() == 0


def test_times_and_worker_are_none_until_the_first_run_has_ended(lab: Lab) -> None:
    gate = lab.gate()
    job = lab.jobs.hold.enqueue("held", str(gate)).refresh()
    assert job.created_at is not None
    worker = lab.worker()
    lab.wait_started("held")
    job.refresh()
    assert (job.started_at, job.finished_at, job.duration, job.worker) == (None, None, None, None)
    gate.touch()
    lab.wait(lambda: job.refresh().status == Status.FINISHED, "the job has finished")
    assert job.started_at is not None and job.finished_at is not None and job.duration is not None
    assert job.created_at - timedelta(seconds=1) < job.started_at <= job.finished_at < datetime.now(UTC)
    assert job.finished_at - job.started_at == job.duration > timedelta(0)
    assert job.worker is not None and job.worker.endswith(f":{worker.pid}")
    assert worker.stop() == 0


def test_a_job_that_failed_has_times_and_a_worker_as_well(lab: Lab) -> None:
    job = lab.jobs.explode.enqueue("Exception")
    worker = lab.burst()
    job.refresh()
    assert job.status == Status.FAILED
    assert job.started_at is not None and job.finished_at is not None and job.duration is not None
    assert job.worker is not None and job.worker.endswith(f":{worker.pid}")
    assert (job.attempts, job.retries_left) == (1, 0)


def test_a_handler_without_parameters_runs(lab: Lab) -> None:
    code = "from fastjobs import FastJobs\napp = FastJobs()\n@app.job\ndef plain(): print('ran plain', flush=True)\n"
    (lab.directory / "plain.py").write_text(code)
    lab.app.job(name="plain")(lambda: None).enqueue()
    worker = lab.worker("--burst", app="plain.py:app")
    assert worker.wait() == 0
    assert worker.log.count("ran plain") == 1
