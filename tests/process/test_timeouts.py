"""Timeouts, expiry and cancellation, with real workers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fastjobs import ConfigError, FastJobs, Job, Status
from fastjobs.worker.supervisor.child import Child
from tests.harness.appfile import PATIENCE_S, AppFile
from tests.harness.server import ServerProcess
from tests.harness.waiting import wait_until


@pytest.fixture
def limits(server: ServerProcess, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppFile]:
    app_file = AppFile("limits", server, namespace, tmp_path, monkeypatch)
    yield app_file
    app_file.close()


@pytest.fixture
def child(limits: AppFile) -> Iterator[Child]:
    """One worker process without a supervisor: the test is at the other end of its line."""
    with limits.child() as child:
        yield child


def ended(app_file: AppFile, job: Job) -> Job:
    return app_file.wait_for_status(job, Status.FINISHED, Status.FAILED, Status.CANCELLED)


def test_a_loop_in_python_is_interrupted_at_its_timeout_and_fails(limits: AppFile) -> None:
    limits.start_worker()
    job, after = limits.loops.enqueue("a"), limits.short.enqueue("b")

    assert ended(limits, job).status is Status.FAILED
    assert job.error.type == "JobTimeout"
    assert job.error.message == "ran longer than its timeout"
    assert "limits.py" in job.error.traceback
    assert job.attempts == 1
    assert job.duration >= timedelta(seconds=0.2)
    assert ended(limits, after).status is Status.FINISHED
    assert limits.notes() == ["a began", "a timed out", "b ran"]
    assert "killing its process" not in limits.log


def test_a_job_that_timed_out_is_retried_by_its_policy(limits: AppFile) -> None:
    limits.start_worker()
    job = limits.loops_once.enqueue("a")

    assert ended(limits, job).status is Status.FINISHED
    assert [error.type for error in job.errors] == ["JobTimeout"]
    assert limits.notes() == ["a began", "a timed out", "a began"]


def test_a_job_that_survives_its_timeout_and_returns_has_finished(limits: AppFile) -> None:
    limits.start_worker()

    assert ended(limits, limits.survives.enqueue("a")).status is Status.FINISHED
    assert limits.notes() == ["a survived"]


def test_a_call_chooses_its_own_timeout(limits: AppFile) -> None:
    limits.start_worker()
    started = time.monotonic()
    job = limits.sleeps.options(timeout=timedelta(seconds=3600)).enqueue("a", 0.4)

    assert ended(limits, job).status is Status.FINISHED
    assert time.monotonic() - started >= 0.4
    assert job.errors == []


@pytest.mark.parametrize("name", ["sleeps", "hogs"])
def test_a_process_whose_job_hangs_in_c_is_replaced_after_the_grace(limits: AppFile, name: str) -> None:
    limits.start_worker()
    jobs = [getattr(limits, name).options(retries=1, retry_delay=0).enqueue("a"), limits.short.enqueue("b")]

    assert ended(limits, jobs[0]).status is Status.FAILED
    assert [error.type for error in jobs[0].errors] == ["JobTimeout", "JobTimeout"]
    assert jobs[0].attempts == 2
    assert ended(limits, jobs[1]).status is Status.FINISHED
    assert jobs[1].errors == []
    assert limits.notes().count("a began") == 2
    assert limits.notes().count("b ran") == 1


def test_neighbours_of_a_job_that_does_not_end_are_not_charged(limits: AppFile) -> None:
    neighbour = limits.neighbour.enqueue("n")
    hanging = limits.sleeps.options(retries=0).enqueue("s")
    limits.start_worker("-c", "2")
    limits.wait_for_note("n began", 2)
    limits.note("go")

    assert ended(limits, neighbour).status is Status.FINISHED
    assert (neighbour.attempts, neighbour.errors) == (0, [])
    assert ended(limits, hanging).status is Status.FAILED
    assert hanging.attempts == 1
    assert limits.log.count("killing its process") == 1


def test_a_process_is_replaced_after_an_interruption_where_the_type_wants_it(limits: AppFile) -> None:
    limits.start_worker("-c", "2")
    neighbour = limits.neighbour.enqueue("n")
    limits.wait_for_note("n began")
    assert ended(limits, limits.loops_dirtily.enqueue("d")).error.type == "JobTimeout"
    after = limits.where.enqueue("after")
    assert ended(limits, after).status is Status.FINISHED
    assert neighbour.refresh().status is Status.EXECUTING
    limits.note("go")

    assert ended(limits, neighbour).status is Status.FINISHED
    assert limits.notes().count("n began") == 1
    pids = {line.split()[-1] for line in limits.notes() if " in " in line}
    assert len(pids) == 2
    limits.wait_for_log("interrupted a job")


def test_a_process_is_replaced_after_a_cancellation_where_the_type_wants_it(limits: AppFile) -> None:
    limits.start_worker()
    job = limits.loops_dirtily.options(timeout=60).enqueue("d")
    wait_until(limits.notes, PATIENCE_S, "the job runs")
    job.cancel()

    assert ended(limits, job).status is Status.CANCELLED
    limits.wait_for_log("interrupted a job")


def test_a_process_is_killed_at_a_timeout_where_the_type_wants_it(
    limits: AppFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTJOBS_TIMEOUT_GRACE_S", "60")
    limits.start_worker("-c", "2")
    neighbour = limits.neighbour.enqueue("n")
    limits.wait_for_note("n began")
    job = limits.dies.enqueue("d")

    assert ended(limits, job).error.type == "JobTimeout"
    assert (job.status, job.attempts) == (Status.FAILED, 1)
    limits.wait_for_note("n began", 2)
    limits.note("go")
    assert ended(limits, neighbour).status is Status.FINISHED
    assert (neighbour.attempts, neighbour.errors) == (0, [])
    assert "d cleans up" not in limits.notes()


def test_an_expired_job_is_cancelled_and_never_started(limits: AppFile) -> None:
    expired = limits.short.options(expires=0.05).enqueue("late")
    past = limits.short.options(expires=datetime.now(UTC) - timedelta(seconds=1)).enqueue("past")
    in_time = limits.short.options(expires=3600).enqueue("early")
    future = limits.short.options(expires=datetime.now(UTC) + timedelta(hours=1)).enqueue("future")
    many = limits.short.options(expires=0.05).enqueue_many(f"m{number}" for number in range(20))
    enqueued = time.monotonic()
    wait_until(lambda: time.monotonic() > enqueued + 0.06, 5, "they are expired")
    limits.start_worker("--burst").wait(PATIENCE_S)

    for job in [expired, past, *(limits.app.jobs.find(job_id) for job_id in many)]:
        assert job.refresh().status is Status.CANCELLED
        assert job.error.type == "Expired"
        assert job.attempts == 0
        assert job.started_at is None
    assert in_time.refresh().status is future.refresh().status is Status.FINISHED
    assert sorted(limits.notes()) == ["early ran", "future ran"]


def test_expiry_counts_from_when_a_delayed_job_is_due(limits: AppFile) -> None:
    limits.start_worker()
    limits.wait_for_status(limits.short.enqueue("first"), Status.FINISHED)
    job = limits.short.options(delay=1.5, expires=1.2).enqueue("a")

    assert ended(limits, job).status is Status.FINISHED
    assert limits.notes() == ["first ran", "a ran"]


def test_a_retry_does_not_expire(limits: AppFile) -> None:
    job = limits.loops_once.options(expires=2, retry_delay=2.5).enqueue("a")
    limits.start_worker()

    assert ended(limits, job).status is Status.FINISHED
    assert limits.notes() == ["a began", "a timed out", "a began"]


def test_cancelling_a_running_job_interrupts_it_and_it_is_not_retried(limits: AppFile, child: Child) -> None:
    job = limits.patient.enqueue("a")
    limits.wait_for_note("a began")
    child.cancel([("default", f"{job.id}~000")])

    assert ended(limits, job).status is Status.CANCELLED
    assert job.error.type == "JobCancelled"
    assert "clean-up failed" in job.error.traceback
    assert job.attempts == 0
    assert limits.notes() == ["a began", "a cancelled"]


def test_check_tells_a_thread_of_the_handler_that_the_job_is_cancelled(limits: AppFile, child: Child) -> None:
    job = limits.checks.enqueue("a")
    limits.wait_for_note("a began")
    child.cancel([("default", f"{job.id}~000")])

    assert ended(limits, job).status is Status.CANCELLED
    assert limits.notes() == ["a began", "a checked"]


def test_cancelling_leased_jobs_that_were_not_started_leaves_only_them_out(limits: AppFile, child: Child) -> None:
    # The first lease is of many quick jobs, and one that blocks the only thread: the ones behind it wait, leased.
    ids = limits.app.enqueue_many(
        [limits.neighbour.call("n"), *(limits.short.call(f"s{number}") for number in range(6))]
    )
    limits.wait_for_note("n began")
    wait_until(lambda: limits.app.jobs.count(Status.EXECUTING) > 0, PATIENCE_S, "they are leased")
    child.cancel([("default", ids[2]), ("default", ids[5]), ("another", ids[3]), ("default", "unknown~000")])
    limits.note("go")

    jobs = [limits.app.jobs.find(job_id) for job_id in ids]
    statuses = [ended(limits, job).status for job in jobs]
    ran = {note for note in limits.notes() if note.endswith("ran")}
    cancelled = {index for index, status in enumerate(statuses) if status is Status.CANCELLED}
    # What was given back before the message came is not this process's to cancel.
    assert cancelled <= {2, 5}
    assert ran == {f"s{index - 1} ran" for index in range(1, 7) if index not in cancelled}


def test_a_job_that_finished_before_the_cancellation_came_stays_finished(limits: AppFile, child: Child) -> None:
    job = limits.short.enqueue("a")
    assert ended(limits, job).status is Status.FINISHED
    child.cancel([("default", f"{job.id}~000")])
    after = limits.short.enqueue("b")

    assert ended(limits, after).status is Status.FINISHED
    assert job.refresh().status is Status.FINISHED


def test_limits_that_are_none_are_refused() -> None:
    app = FastJobs("unix:///nowhere")
    for bad in (0, -1, float("nan"), "1", True, timedelta(seconds=-1)):
        with pytest.raises(ConfigError, match="timeout="):
            app.job(timeout=bad)(print)
    job = app.job(name="j", timeout=timedelta(minutes=1))(lambda: None)
    for bad in (0, -1, float("inf"), "tomorrow", datetime(2030, 1, 1)):
        with pytest.raises(ConfigError, match="expires="):
            job.options(expires=bad)
    with pytest.raises(ConfigError, match="timeout="):
        job.options(timeout=0)


def test_hundreds_of_timeouts_hit_no_other_job(limits: AppFile) -> None:
    """Short timeouts beside quick jobs in the same threads."""
    calls = []
    for number in range(300):
        calls.append(limits.short.call(f"s{number}"))
        if number % 10 == 0:
            calls.append(limits.loops.options(timeout=0.02).call(f"l{number}"))
    ids = limits.app.enqueue_many(calls)
    limits.start_worker("--burst", "-c", "2").wait(PATIENCE_S)

    statuses = [limits.app.jobs.find(job_id).status for job_id in ids]
    expected = [Status.FAILED if call.job_type.name == "loops" else Status.FINISHED for call in calls]
    assert statuses == expected
    assert len([note for note in limits.notes() if note.endswith(" ran")]) == 300
