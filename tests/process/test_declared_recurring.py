"""A module with recurring jobs is imported without a server; workers and `fastjobs recurring store` store them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastjobs import FastJobs
from tests.harness.server import ServerProcess
from tests.harness.waiting import wait_until

JOBS = """
from fastjobs import FastJobs
app = FastJobs()
@app.job
def report(user):
    pass
tick = report.every({interval}, 42, id="tick")
"""
BIN = Path(sys.executable).parent


@pytest.fixture
def app(server: ServerProcess, namespace: str) -> Iterator[FastJobs]:
    app = FastJobs(server.url, namespace=namespace)
    yield app
    app.close()


def run(directory: Path, *command: str, url: str, namespace: str = "x") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "FASTJOBS_URL": url, "FASTJOBS_NAMESPACE": namespace, "PYTHONPATH": str(directory)}
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=60)


def test_a_module_with_recurring_jobs_is_imported_while_the_server_is_away(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(JOBS.format(interval=60))
    done = run(tmp_path, sys.executable, "-c", "import jobs; print(jobs.tick)", url="redis://127.0.0.1:1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "<Recurring tick report" in done.stdout


def test_a_worker_stores_what_the_app_declares(
    tmp_path: Path, server: ServerProcess, namespace: str, app: FastJobs
) -> None:
    (tmp_path / "jobs.py").write_text(JOBS.format(interval=3600))
    done = run(tmp_path, str(BIN / "fastjobs-worker"), "-p", "2", "--burst", url=server.url, namespace=namespace)
    assert done.returncode == 0, done.stderr
    [tick] = app.recurring.list()
    assert (tick.id, tick.type, tick.args) == ("tick", "report", [42])


def test_a_reloaded_worker_stores_what_has_changed(
    tmp_path: Path, server: ServerProcess, namespace: str, app: FastJobs
) -> None:
    (tmp_path / "jobs.py").write_text(JOBS.format(interval=3600))
    environment = {**os.environ, "FASTJOBS_URL": server.url, "FASTJOBS_NAMESPACE": namespace}
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen(
            [str(BIN / "fastjobs-worker"), "-p", "1"], cwd=tmp_path, env=environment, stdout=log, stderr=log
        )
        try:
            wait_until(
                lambda: [one.schedule for one in app.recurring.list()] == ["every 3600000 0"],
                30,
                "the worker stores the job",
            )
            app.recurring.find("tick").pause()
            (tmp_path / "jobs.py").write_text(JOBS.format(interval=60))
            worker.send_signal(signal.SIGHUP)
            wait_until(
                lambda: [one.schedule for one in app.recurring.list()] == ["every 60000 0"],
                30,
                "the reloaded worker stores the job",
            )
            assert app.recurring.find("tick").paused
        finally:
            worker.terminate()
            worker.wait(30)


def test_a_command_stores_what_the_app_declares(
    tmp_path: Path, server: ServerProcess, namespace: str, app: FastJobs
) -> None:
    (tmp_path / "jobs.py").write_text(JOBS.format(interval=3600))
    done = run(tmp_path, str(BIN / "fastjobs"), "recurring", "store", url=server.url, namespace=namespace)
    assert (done.returncode, done.stdout) == (0, "tick is stored\n"), done.stderr
    assert [one.id for one in app.recurring.list()] == ["tick"]
