"""What handlers learn about the job they run."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

import fastjobs
from fastjobs import Context, JobTimeout, Status
from fastjobs.context import takes_context
from tests.harness.appfile import AppFile
from tests.harness.server import ServerProcess

if TYPE_CHECKING:
    from fastjobs import Context as OnlyForCheckers


@pytest.fixture
def limits(server: ServerProcess, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppFile]:
    app_file = AppFile("limits", server, namespace, tmp_path, monkeypatch)
    yield app_file
    app_file.close()


def test_a_handler_learns_its_id_type_queue_and_which_attempt_it_is(limits: AppFile) -> None:
    limits.start_worker("--log-format", "json", "-Q", "other")
    job = limits.tells.options(retry_delay=0).enqueue("a", fails=1)

    limits.wait_for_status(job, Status.FINISHED)
    assert limits.notes() == [f"a {job.id} named other {attempt} None False" for attempt in (1, 2)]
    assert job.args == ["a"]
    lines = [line for line in limits.log.splitlines() if "hello from the handler" in line]
    assert [f'"job":"{job.id}","type":"named","attempt":{attempt}' in lines[attempt - 1] for attempt in (1, 2)]


@pytest.mark.parametrize("fates", [["crash", "raise"], ["raise", "crash"], ["crash", "crash", "raise"]])
def test_a_crash_is_an_attempt_that_uses_up_no_retry(limits: AppFile, fates: list[str]) -> None:
    limits.start_worker("-Q", "default")
    job = limits.meets.enqueue("a", fates)

    limits.wait_for_status(job, Status.FINISHED)
    assert limits.notes() == [f"a {attempt} {fate}" for attempt, fate in enumerate([*fates, "end"], 1)]
    assert (job.attempts, job.retries_left) == (len(fates), 0)
    names = {"crash": "WorkerCrashed", "raise": "ValueError"}
    assert [(error.attempt, error.type) for error in job.errors] == [
        (attempt, names[fate]) for attempt, fate in enumerate(fates, 1)
    ]


def test_a_job_that_raises_once_too_often_fails_however_often_it_crashed(limits: AppFile) -> None:
    limits.start_worker("-Q", "default")
    job = limits.meets.enqueue("a", ["raise", "crash", "raise"])

    limits.wait_for_status(job, Status.FAILED)
    assert (job.attempts, job.retries_left, job.error.attempt) == (3, 0, 3)


def test_each_job_of_a_chunk_has_its_own_context(limits: AppFile) -> None:
    limits.start_worker("-Q", "other", "-c", "3")
    ids = limits.tells.enqueue_many(f"n{number}" for number in range(50))
    limits.wait_for_status(limits.app.jobs.find(ids[49]), Status.FINISHED)

    expected = {f"n{number} {job_id} named other 1 None False" for number, job_id in enumerate(ids)}
    for note in expected:
        limits.wait_for_note(note)
    assert set(limits.notes()) == expected


def test_the_deadline_is_told_and_check_goes_on_raising_after_it(limits: AppFile) -> None:
    limits.start_worker()
    job = limits.checks_deadline.enqueue("a")

    limits.wait_for_status(job, Status.FAILED)
    assert job.error.type == "JobTimeout"
    assert limits.notes() == ["a 0.2 0.2"]


def test_arguments_that_do_not_fit_fail_at_once_with_a_context_too(limits: AppFile) -> None:
    limits.start_worker("-Q", "other")
    job = limits.tells.enqueue()

    assert limits.wait_for_status(job, Status.FAILED, Status.RETRYING).status is Status.FAILED
    assert job.error.type == "TypeError"


def test_a_handler_called_directly_gets_a_context_that_asks_for_nothing(limits: AppFile) -> None:
    limits.tells("direct")

    assert limits.notes() == ["direct  named other 1 None False"]


def test_handlers_are_recognised_however_context_is_written() -> None:
    def plain(context: Context) -> None: ...
    def text(context: "Context") -> None: ...  # noqa: UP037
    def dotted(context: fastjobs.Context, x: int) -> None: ...
    def second(x: int, context: Context) -> None: ...
    def keyword(*, context: Context) -> None: ...
    def other(context: click.Context) -> None: ...
    def bare(context) -> None: ...
    def alias(context: OnlyForCheckers) -> None: ...

    plain.__annotations__["context"] = Context
    recognised = [takes_context(f) for f in (plain, text, dotted, second, keyword, other, bare, alias, print, int)]
    assert recognised == [True, True, True, False, False, False, False, False, False, False]


def test_check_raises_once_the_deadline_has_passed() -> None:
    context = Context("id", "type", "queue", deadline_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME) - 1)

    with pytest.raises(JobTimeout, match="ran longer"):
        context.check()
    assert not context.lease_lost


def test_the_example_shows_what_it_says(
    server: ServerProcess, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTJOBS_URL", server.url)
    monkeypatch.setenv("FASTJOBS_NAMESPACE", namespace)
    example = Path(__file__).parents[2] / "examples" / "context.py"
    output = subprocess.run(
        [sys.executable, example], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    ).stdout.splitlines()

    assert sorted(output[:-3]) == [
        "count_primes(1000,) is finished",
        "count_primes(100000000,) is failed after JobTimeout",
        "count_primes(100000000,) is retrying after JobTimeout",
    ]
    assert output[-3:] == ["finished []", "failed ['JobTimeout', 'JobTimeout']", "cancelled ['Expired']"]
