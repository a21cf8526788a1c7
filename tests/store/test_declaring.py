"""Recurring jobs are declared without a server, checked when they are declared, and stored when somebody says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fastjobs import Context, FastJobs, errors
from tests.harness.server import ServerProcess

#: Nothing listens there.
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def app(server: ServerProcess, namespace: str) -> Iterator[FastJobs]:
    app = FastJobs(server.url, namespace=namespace)
    yield app
    app.close()


def _report(user: int, *, lang: str = "en") -> None:
    """Never run here."""


def test_declaring_needs_no_server() -> None:
    app = FastJobs(NOWHERE, retry_budget_s=0.1)
    report = app.job(queue="slow")(_report)
    tick = report.every(3600, 42, id="tick")
    daily = report.cron("@daily", 42, id="daily", kwargs={"lang": "sv"})
    assert (tick.queue, tick.args, tick.next_due) == ("slow", [42], None)
    assert (daily.type, daily.kwargs, daily.next_due) == ("_report", {"lang": "sv"}, None)
    with pytest.raises(errors.StoreError):
        tick.store()


def test_declared_jobs_are_stored_together(app: FastJobs) -> None:
    report = app.job(_report)
    report.every(3600, 1, id="one")
    report.options(queue="slow").every(3600, 2, id="two")
    assert app.recurring.list() == []
    assert [one.id for one in app.recurring.store_declared()] == ["one", "two"]
    assert [(one.id, one.queue, one.args) for one in app.recurring.list()] == [
        ("one", "default", [1]),
        ("two", "slow", [2]),
    ]
    assert app.recurring.store_declared() == [], "they are stored"


def test_the_last_declaration_under_an_id_counts(app: FastJobs) -> None:
    report = app.job(_report)
    report.every(3600, 1, id="tick")
    report.every(60, 2, id="tick")
    [tick] = app.recurring.store_declared()
    assert (tick.args, tick.schedule) == ([2], "every 60000 0")


def test_a_job_of_many_queues_is_found_and_moved_whatever_is_stored_beside_it(app: FastJobs) -> None:
    report = app.job(_report)
    for number in range(30):
        report.options(queue=f"q{number}").every(3600, number, id=f"tick{number}")
    app.recurring.store_declared()
    app.recurring.find("tick3").pause()
    for number in range(30):
        report.options(queue=f"q{number + 1}").every(3600, number, id=f"tick{number}")
    moved = {one.id: one for one in app.recurring.store_declared()}
    assert {one.id: one.queue for one in app.recurring.list()} == {f"tick{n}": f"q{n + 1}" for n in range(30)}
    assert [name for name, one in moved.items() if one.paused] == ["tick3"]


@pytest.mark.parametrize(
    ("args", "kwargs", "reason"),
    [
        ((), None, "missing a required argument: 'user'"),
        ((1, 2), None, "too many positional arguments"),
        ((1,), {"language": "sv"}, "unexpected keyword argument 'language'"),
        ((1,), {"user": 1}, "multiple values for argument 'user'"),
    ],
)
def test_arguments_that_the_handler_does_not_take_are_refused_at_the_declaration(args, kwargs, reason) -> None:
    report = FastJobs(NOWHERE).job(name="report")(_report)
    for declare in (
        lambda: report.every(60, *args, id="tick", kwargs=kwargs),
        lambda: report.cron("@daily", *args, id="tick", kwargs=kwargs),
    ):
        with pytest.raises(errors.ConfigError, match=f"recurring job 'tick' does not fit report.*{reason}"):
            declare()


def test_the_context_of_a_handler_is_no_argument_of_the_declaration() -> None:
    app = FastJobs(NOWHERE)

    @app.job
    def resize(context: Context, path: str) -> None:
        """Never run here."""

    assert resize.every(60, "x", id="tick").args == ["x"]
    with pytest.raises(errors.ConfigError, match="missing a required argument: 'path'"):
        resize.every(60, id="tick")


def test_a_handler_without_a_signature_takes_whatever_is_declared() -> None:
    assert FastJobs(NOWHERE).job(name="dictionary")(dict).every(60, 1, 2, 3, id="tick").args == [1, 2, 3]
