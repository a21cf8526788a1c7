"""Programs that jobs have started end with the process that ran the jobs, and only those."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from fastjobs import Job, Status
from tests.harness.appfile import PATIENCE_S, AppFile
from tests.harness.server import ServerProcess
from tests.harness.waiting import wait_until


@pytest.fixture
def app(server: ServerProcess, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppFile]:
    app_file = AppFile("programs", server, namespace, tmp_path, monkeypatch)
    yield app_file
    app_file.close()
    for line in app_file.notes():
        for pid in noted(line):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def noted(line: str) -> list[int]:
    return [int(pid) for pid in line.split()[1:]]


def programs(app: AppFile, name: str, runs: int = 1) -> list[int]:
    """The programs that a job has noted, in all its runs."""

    def lines() -> list[str]:
        return [line for line in app.notes() if line.startswith(f"{name} ")]

    wait_until(lambda: len(lines()) >= runs, PATIENCE_S, f"{name} has noted its programs")
    return [pid for line in lines() for pid in noted(line)]


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_ended(pids: list[int]) -> None:
    wait_until(lambda: not any(map(runs, pids)), PATIENCE_S, f"programs {pids} have ended")


def failed(app: AppFile, job: Job) -> Job:
    return app.wait_for_status(job, Status.FAILED)


def test_programs_of_a_job_whose_process_is_killed_for_it_end_too(app: AppFile) -> None:
    """Row A24."""
    app.start_worker("-c", "2")
    neighbour = app.waits.enqueue("neighbour")
    killed = programs(app, "neighbour")
    job = app.hangs.enqueue("hanging")

    assert failed(app, job).error.type == "JobTimeout"
    wait_ended([*killed, *programs(app, "hanging")])
    app.wait_for_log("programs of running jobs killed")
    # It has started again.
    assert any(map(runs, programs(app, "neighbour", 2)))
    assert not neighbour.refresh().errors


def test_programs_of_a_job_that_crashes_its_process_end_too(app: AppFile) -> None:
    app.start_worker()
    job = app.crashes.enqueue("crashing")

    assert failed(app, job).error.type == "WorkerCrashed"
    wait_ended(programs(app, "crashing", 3))


def test_what_a_job_has_forked_ends_with_its_process(app: AppFile) -> None:
    app.start_worker()
    app.pid.enqueue("process")
    (process,) = programs(app, "process")
    app.forks.enqueue("forking")
    forked = programs(app, "forking")
    os.kill(process, signal.SIGKILL)

    wait_ended(forked)


def test_programs_of_a_job_that_is_given_back_when_the_worker_stops_end_too(app: AppFile) -> None:
    worker = app.start_worker("--shutdown-timeout", "0.1")
    app.waits.enqueue("waiting")
    started = programs(app, "waiting")
    worker.terminate()
    worker.wait(PATIENCE_S)

    wait_ended(started)


def test_programs_of_jobs_that_have_ended_and_daemons_are_left_alone(app: AppFile) -> None:
    app.start_worker()
    app.wait_for_status(app.leaves.enqueue("leaving"), Status.FINISHED)
    # A program may have started up to a tick of the kernel's clock before the job after it.
    app.wait_for_status(app.pid.options(delay=0.1).enqueue("process"), Status.FINISHED)
    failed(app, app.leaves_daemon.enqueue("daemon"))
    failed(app, app.crashes.enqueue("crashing"))
    wait_ended(programs(app, "crashing", 3))

    assert all(map(runs, [*programs(app, "leaving"), *programs(app, "daemon", 3)]))
