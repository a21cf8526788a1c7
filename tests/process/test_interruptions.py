"""Interrupted handlers leave nothing behind that harms the worker or the jobs after them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fastjobs import Job, Status
from tests.harness.appfile import AppFile
from tests.harness.server import ServerProcess


@pytest.fixture
def app(server: ServerProcess, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppFile]:
    app_file = AppFile("interrupted", server, namespace, tmp_path, monkeypatch)
    yield app_file
    app_file.close()


def ended(app_file: AppFile, job: Job) -> Job:
    return app_file.wait_for_status(job, Status.FINISHED, Status.FAILED, Status.CANCELLED)


def test_a_logging_handler_that_hangs_holds_up_no_other_job(app: AppFile) -> None:
    """Row A14."""
    app.start_worker("-c", "2")
    holder = app.holds_the_log.enqueue("h")
    app.wait_for_note("h began")
    waits, after = app.waits.enqueue("w"), app.short.enqueue("a")

    assert ended(app, waits).error.type == "JobTimeout"
    assert ended(app, after).status is Status.FINISHED
    assert "killing its process" not in app.log
    assert "job timed out" not in app.log
    app.note("go")
    assert ended(app, holder).status is Status.FINISHED
    app.wait_for_log("job timed out")
    app.wait_for_log("job failed")
