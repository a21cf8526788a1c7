"""The commands that look at jobs and act on them: `--json` for programs, `--yes` before destruction."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from click.testing import CliRunner, Result

from fastjobs import FastJobs, JobNotFound, JobType, Status
from fastjobs.cli.main import command
from tests.harness.queue import QueueUnderTest
from tests.harness.server import ServerProcess
from tests.store.conftest import MakeQueue
from tests.store.test_jobs_api import KEY, fail_all

Invoke = Callable[..., Result]


@pytest.fixture
def app(server: ServerProcess, namespace: str) -> Iterator[FastJobs]:
    app = FastJobs(server.url, namespace=namespace)
    yield app
    app.close()


@pytest.fixture
def note(app: FastJobs) -> JobType:
    return app.job(name="note", queue="notes")(lambda number, text="": None)


@pytest.fixture
def queue(make_queue: MakeQueue) -> QueueUnderTest:
    return make_queue("notes")


@pytest.fixture
def invoke(app: FastJobs) -> Invoke:
    def call(*arguments: str) -> Result:
        options = ["--url", app.url, "--namespace", app.config.namespace]
        return CliRunner().invoke(command, [*arguments, *options], catch_exceptions=True)

    return call


def test_a_job_is_shown_to_people_and_programs(invoke: Invoke, note: JobType) -> None:
    job = note.options(priority=3).enqueue(1, text="\x1b[31mred")
    shown = invoke("job", "show", job.id)
    assert shown.exit_code == 0
    assert "\x1b" not in shown.output
    assert "note" in shown.output
    told = json.loads(invoke("job", "show", job.id, "--json").output)
    assert (told["id"], told["status"], told["priority"], told["args"]) == (job.id, "queued", 3, [1])


def test_the_options_that_a_call_chose_are_shown(invoke: Invoke, note: JobType) -> None:
    job = note.options(retries=2, timeout=90).enqueue(1)
    assert job.options == job.refresh().options == {"retries": 2, "timeout": timedelta(seconds=90)}
    assert "timeout_s     90.0" in invoke("job", "show", job.id).output
    assert json.loads(invoke("job", "show", job.id, "--json").output)["options"] == {"retries": 2, "timeout_s": 90.0}


def test_one_job_is_acted_on(invoke: Invoke, note: JobType) -> None:
    job = note.enqueue(1)
    assert "cancelled" in invoke("job", "cancel", job.id).output
    assert "scheduled" in invoke("job", "reschedule", job.id, "--delay", "60").output
    assert "scheduled" in invoke("job", "reschedule", job.id, "--at", "2090-01-01T00:00Z").output
    assert invoke("job", "priority", job.id, "5").exit_code == 0
    assert job.refresh().priority == 5
    assert invoke("job", "reschedule", job.id, "--at", "2090-01-01T00:00").exit_code == 2
    assert invoke("job", "destroy", job.id).exit_code == 2, "nobody is there to be asked"
    assert job.refresh().status is Status.SCHEDULED
    assert invoke("job", "destroy", job.id, "--yes").exit_code == 0
    with pytest.raises(JobNotFound):
        job.refresh()
    assert isinstance(invoke("job", "show", job.id).exception, JobNotFound)


def test_jobs_are_listed_page_by_page(invoke: Invoke, note: JobType) -> None:
    ids = list(note.enqueue_many(range(5)))
    page = json.loads(invoke("jobs", "ls", "queued", "--limit", "3", "--json").output)
    rest = json.loads(invoke("jobs", "ls", "queued", "--cursor", page["cursor"], "--json").output)
    assert [job["id"] for job in page["jobs"] + rest["jobs"]] == ids
    assert rest["cursor"] is None
    table = invoke("jobs", "ls", "queued", "--limit", "3").output
    assert ids[2] in table
    assert "more: --cursor" in table


def test_jobs_are_counted(invoke: Invoke, note: JobType) -> None:
    note.enqueue_many(range(5))
    assert json.loads(invoke("jobs", "count", "--json").output)["queued"] == 5
    assert json.loads(invoke("jobs", "count", "queued", "--queue", "notes", "--json").output) == {"queued": 5}
    assert "queued" in invoke("jobs", "count").output


def test_failed_jobs_are_grouped_by_error_retried_and_purged(
    invoke: Invoke, app: FastJobs, note: JobType, queue: QueueUnderTest
) -> None:
    note.enqueue_many(range(3))
    fail_all(queue, app, "ValueError")
    note.enqueue_many(range(2))
    fail_all(queue, app, "OSError")
    groups = [json.loads(line) for line in invoke("failed", "ls", "--json").output.splitlines()]
    assert [(group["type"], group["error"], group["jobs"]) for group in groups] == [
        ("note", "ValueError", 3),
        ("note", "OSError", 2),
    ]
    assert "ValueError" in invoke("failed", "ls").output
    refused = invoke("failed", "retry", "--error", "ValueError")
    assert refused.exit_code == 2
    assert "Retry 3 jobs" in refused.output
    assert "3 jobs" in invoke("failed", "retry", "--error", "ValueError", "--yes").output
    assert queue.counts() == {"queued": 3, "failed": 2}
    assert "2 jobs" in invoke("failed", "purge", "--yes").output
    assert invoke("failed", "purge", "--yes").output == "no jobs\n"
    assert queue.counts() == {"queued": 3}


def test_many_jobs_are_cancelled_and_destroyed(invoke: Invoke, note: JobType, queue: QueueUnderTest) -> None:
    note.enqueue_many(range(3))
    assert "3 jobs" in invoke("jobs", "cancel", "--type", "note", "--yes").output
    assert queue.counts() == {"cancelled": 3}
    assert "3 jobs" in invoke("jobs", "destroy", "--status", "cancelled", "--queue", "notes", "--yes").output
    assert queue.counts() == {}


def test_a_command_that_skips_jobs_names_them_and_has_an_exit_code(
    invoke: Invoke, app: FastJobs, note: JobType, server: ServerProcess, namespace: str
) -> None:
    note.enqueue_many(range(3))
    owner = FastJobs(server.url, namespace=namespace, encryption_keys={"k": KEY})
    owner.job(name="note", queue="notes")(print).options(job_id="sealed").enqueue(1)
    owner.close()
    result = invoke("jobs", "cancel", "--yes")
    assert result.exit_code == 1
    assert "3 jobs\n1 skipped, because they cannot be changed:\n  sealed: MissingKey: " in result.output
    assert invoke("jobs", "destroy", "--yes").exit_code == 0


def test_queues_are_listed_paused_resumed_cleared_and_drained(
    invoke: Invoke, app: FastJobs, note: JobType, queue: QueueUnderTest
) -> None:
    note.enqueue_many(range(3))
    assert invoke("queue", "pause", "notes").exit_code == 0
    (row,) = [json.loads(line) for line in invoke("queue", "ls", "--json").output.splitlines()]
    assert (row["queue"], row["queued"], row["paused"]) == ("notes", 3, True)
    assert row["latency_s"] >= 0
    assert "notes" in invoke("queue", "ls").output
    assert invoke("queue", "resume", "notes").exit_code == 0
    assert not app.queue("notes").paused
    assert invoke("queue", "drain", "notes", "--timeout", "0.01").exit_code == 1
    assert invoke("queue", "clear", "notes").exit_code == 2
    assert invoke("queue", "clear", "notes", "--yes").output == "3 jobs\n"
    assert invoke("queue", "clear", "notes", "--yes").output == "no jobs\n"
    assert invoke("queue", "drain", "notes").exit_code == 0


def test_recurring_jobs_are_listed_paused_run_and_cancelled(
    invoke: Invoke, app: FastJobs, note: JobType, queue: QueueUnderTest
) -> None:
    note.every(3600, 1, id="hourly").store()
    (row,) = [json.loads(line) for line in invoke("recurring", "ls", "--json").output.splitlines()]
    assert (row["id"], row["type"], row["paused"], row["last_run"]) == ("hourly", "note", False, None)
    columns, line = (re.split(" {2,}", text) for text in invoke("recurring", "ls").output.splitlines())
    shown = dict(zip(columns, line, strict=True))
    due = app.recurring.find("hourly").next_due
    assert due is not None
    assert (shown["schedule"], shown["next due"]) == ("every 1 h", due.astimezone().isoformat(" ", "seconds"))
    assert row["next_due"] == due.isoformat()
    assert invoke("recurring", "pause", "hourly").exit_code == 0
    assert app.recurring.find("hourly").paused
    assert invoke("recurring", "resume", "hourly").exit_code == 0
    run_id = invoke("recurring", "run", "hourly").output.strip()
    run = app.jobs.find(run_id)
    assert run.recurring == "hourly"
    assert run.next_time == app.recurring.find("hourly").next_due
    assert invoke("recurring", "cancel", "hourly").exit_code == 2
    assert invoke("recurring", "cancel", "hourly", "--yes").exit_code == 0
    assert app.recurring.list() == []
    assert run.next_time is None


def test_a_worker_that_is_not_there_cannot_be_told_anything(invoke: Invoke) -> None:
    for order in ("quiet", "stop"):
        assert invoke("workers", order, "host:1").exit_code == 1
    assert invoke("workers", "ls", "--json").output == ""
