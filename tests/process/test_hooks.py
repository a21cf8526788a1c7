"""Hooks around jobs and workers, with real workers."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastjobs import FastJobs, Status
from fastjobs.registry import Hooks
from fastjobs.worker.process.hooks import HookCaller
from tests.harness.appfile import PATIENCE_S, AppFile
from tests.harness.server import ServerProcess
from tests.harness.waiting import wait_until


@pytest.fixture
def hooked(server: ServerProcess, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppFile]:
    app_file = AppFile("hooked", server, namespace, tmp_path, monkeypatch)
    yield app_file
    app_file.close()


def job_notes(app_file: AppFile, job_id: str) -> list[str]:
    return [note.replace(f" {job_id}", "") for note in app_file.notes() if job_id in note]


def test_hooks_are_called_around_a_job_that_finishes(hooked: AppFile) -> None:
    hooked.start_worker()
    job = hooked.work.enqueue("fine")
    hooked.wait_for_status(job, Status.FINISHED)

    hooked.wait_for_note(f"after {job.id} finished None 0 1 True False")
    assert job_notes(hooked, job.id) == ["before executing ['fine'] 0", "after finished None 0 1 True False"]


def test_hooks_see_every_run_of_a_job_that_fails(hooked: AppFile) -> None:
    hooked.start_worker()
    job = hooked.work.enqueue("error")
    hooked.wait_for_status(job, Status.FAILED)

    hooked.wait_for_note(f"after {job.id} failed ValueError 2 0 True False")
    assert job_notes(hooked, job.id) == [
        "before executing ['error'] 0",
        "after retrying ValueError 1 0 True True",
        "before executing ['error'] 1",
        "failed as asked",
        "after failed ValueError 2 0 True False",
    ]


def test_hooks_see_a_job_that_asks_for_a_retry(hooked: AppFile) -> None:
    hooked.start_worker()
    job = hooked.work.enqueue("retry")
    hooked.wait_for_status(job, Status.RETRYING)

    hooked.wait_for_note(f"after {job.id} retrying Retry 1 0 True True")


def test_hooks_see_a_job_that_times_out(hooked: AppFile) -> None:
    hooked.start_worker()
    job = hooked.waits.options(timeout=0.1, retries=0).enqueue("a")
    hooked.wait_for_status(job, Status.FAILED)

    hooked.wait_for_note(f"after {job.id} failed JobTimeout 1 0 True False")
    assert "failed ran longer than its timeout" in job_notes(hooked, job.id)


def test_hooks_see_a_job_that_is_cancelled_while_it_runs(hooked: AppFile) -> None:
    with hooked.child() as child:
        job = hooked.waits.enqueue("a")
        hooked.wait_for_note("waits began")
        child.cancel([("default", f"{job.id}~000")])
        hooked.wait_for_note(f"after {job.id} cancelled JobCancelled 0 1 True False")

    assert job.refresh().status is Status.CANCELLED


def test_a_hook_that_raises_is_logged_with_the_job_and_harms_nothing(hooked: AppFile) -> None:
    worker = hooked.start_worker()
    ids = hooked.work.enqueue_many(["fine"] * 5)
    for job_id in ids:
        hooked.wait_for_note(f"after {job_id} finished None 0 1 True False")
    worker.send_signal(signal.SIGTERM)

    assert worker.wait(PATIENCE_S) == 0
    assert [hooked.app.jobs.find(job_id).status for job_id in ids] == [Status.FINISHED] * 5
    for name, message in (("before_job", "bad before hook"), ("after_job", "bad after hook")):
        assert hooked.log.count(f"hook failed hook={name} job={ids[0]}") == 1
        assert hooked.log.count(message) >= 5
    assert "bad start hook" in hooked.log


def test_worker_hooks_are_called_in_each_process(hooked: AppFile) -> None:
    worker = hooked.start_worker("-p", "2")
    hooked.wait_for_note("worker starts True", 2)
    job = hooked.work.enqueue("fine")
    hooked.wait_for_status(job, Status.FINISHED)
    worker.send_signal(signal.SIGTERM)

    assert worker.wait(PATIENCE_S) == 0
    assert hooked.notes().count("worker starts True") == 2
    assert hooked.notes().count("worker stops") == 2
    assert hooked.notes().index("worker stops") > hooked.notes().index(f"after {job.id} finished None 0 1 True False")


def test_the_execute_loop_is_given_no_hook_when_none_is_set() -> None:
    app = FastJobs("unix:///nowhere")
    caller = HookCaller(app._registry.hooks, app._registry, app._handles, "worker")

    assert caller.before is None
    assert caller.after is None
    app.on_failed(print)
    assert caller.before is None
    assert caller.after is not None


def test_hook_decorators_leave_the_function_as_it_is() -> None:
    app = FastJobs("unix:///nowhere")
    for name in Hooks.__dataclass_fields__:
        assert getattr(app, name)(print) is print
        assert getattr(app._registry.hooks, name) == [print]


@pytest.fixture
def hanging(
    server: ServerProcess, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[AppFile]:
    monkeypatch.setenv("FASTJOBS_HOOK_TIMEOUT_S", "0.3")
    app_file = AppFile("hanging_hooks", server, namespace, tmp_path, monkeypatch)
    yield app_file
    app_file.close()


@pytest.mark.parametrize(
    ("hook", "status", "errors"),
    [
        ("before", Status.FAILED, ["JobTimeout"] * 2),
        ("after", Status.FINISHED, []),
        ("failed", Status.FAILED, ["ValueError"] * 2),
    ],
)
def test_a_hook_that_hangs_holds_up_no_other_job(
    hanging: AppFile, hook: str, status: Status, errors: list[str]
) -> None:
    """Fault A13."""
    stuck, *others = [hanging.work.enqueue(name) for name in (hook, *"abcdef")]
    hanging.start_worker("-c", "1")
    for job in others:
        hanging.wait_for_status(job, Status.FINISHED)
    hanging.wait_for_status(stuck, status)
    assert [error.type for error in stuck.refresh().errors] == errors
    assert not [job for job in others if job.refresh().errors]
    killing = "hook takes too long, killing its process"
    wait_until(lambda: killing in hanging.log_path.read_text(), PATIENCE_S, "the process of the hook is killed")
