"""An app file under test: loaded here to enqueue, and run by real workers, with what its handlers note."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fastjobs import FastJobs, Job, Status
from fastjobs.worker.spec import EXIT_DONE, ProcessSpec
from fastjobs.worker.supervisor.child import Child
from tests.harness.server import ServerProcess
from tests.harness.waiting import wait_until

COMMAND = str(Path(sys.executable).with_name("fastjobs-worker"))
APPS = Path(__file__).parents[1] / "apps"
#: Long enough for a busy machine, short enough to wait for.
PATIENCE_S = 30.0


class AppFile:
    """One of tests/apps, bound to a server and a namespace by the environment."""

    def __init__(
        self, name: str, server: ServerProcess, namespace: str, directory: Path, patch: pytest.MonkeyPatch
    ) -> None:
        self._path = APPS / f"{name}.py"
        self._directory = directory
        self._notes = directory / "notes"
        self._notes.touch()
        self._workers: list[subprocess.Popen[bytes]] = []
        self.log_path = directory / "worker.log"
        environment = {
            "FASTJOBS_URL": server.url,
            "FASTJOBS_NAMESPACE": namespace,
            "FASTJOBS_LEASE_S": "0.8",
            "FASTJOBS_TIMEOUT_GRACE_S": "0.3",
            "PYTHONPATH": str(APPS.parents[1]),
            "TEST_NOTES": str(self._notes),
        }
        for variable, value in environment.items():
            patch.setenv(variable, value)
        patch.chdir(directory)
        spec = importlib.util.spec_from_file_location(f"app_under_test_{namespace}", self._path)
        assert spec and spec.loader
        self.module: ModuleType = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)
        self.app: FastJobs = self.module.app

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name)

    @property
    def target(self) -> str:
        return f"{self._path}:app"

    def start_worker(self, *arguments: str) -> subprocess.Popen[bytes]:
        with self.log_path.open("ab") as log:
            worker = subprocess.Popen(
                [COMMAND, self.target, "-p", "1", *arguments], cwd=self._directory, stderr=log, start_new_session=True
            )
        self._workers.append(worker)
        return worker

    @contextmanager
    def child(self) -> Iterator[Child]:
        """One worker process without a supervisor: the test is at the other end of its line."""
        template = ProcessSpec(
            include=[],
            url=None,
            target=self.target,
            session="",
            worker="test:1",
            board_fd=-1,
            control_fd=-1,
            threads=1,
            seats=0,
            slots=0,
            queues=[("default", None)],
            batch_size=100,
            max_jobs=0,
            shutdown_timeout_s=5.0,
            log_level="info",
            log_format="text",
        )
        child = Child(template)
        try:
            yield child
            child.stop(0.0)
            assert child.process.wait(PATIENCE_S) == EXIT_DONE
        finally:
            child.process.kill()
            child.process.wait()
            child.release()

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def notes(self) -> list[str]:
        """What handlers and hooks have noted so far, in order."""
        return self._notes.read_text().splitlines()

    def wait_for_note(self, note: str, times: int = 1) -> None:
        wait_until(lambda: self.notes().count(note) >= times, PATIENCE_S, f"{note!r} is noted")

    def wait_for_log(self, text: str) -> None:
        wait_until(lambda: text in self.log, PATIENCE_S, f"{text!r} is logged")

    def wait_for_status(self, job: Job, *statuses: Status) -> Job:
        wait_until(lambda: job.refresh().status in statuses, PATIENCE_S, f"{job} is {statuses}")
        return job

    def close(self) -> None:
        """Ends the workers that are left, with all their processes."""
        for worker in self._workers:
            with suppress(ProcessLookupError):
                os.killpg(worker.pid, 9)
            worker.wait()
        self.app.close()
