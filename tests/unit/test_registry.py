"""Job types are registered by name, with the app they belong to."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from fastjobs import ConfigError, FastJobs


@pytest.fixture
def app() -> FastJobs:
    # Nothing here connects.
    return FastJobs("redis://localhost:1")


def work(number: int = 0) -> int:
    return number + 1


def other() -> None: ...


async def coroutine() -> None: ...


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


def test_a_job_type_is_called_like_its_function(app: FastJobs) -> None:
    job_type = app.job(work)
    assert (job_type.name, job_type.queue, job_type(1)) == ("work", "default", 2)
    assert repr(job_type) == "<JobType work queue=default>"
    assert list(app._registry) == ["work"]


def test_a_name_and_queue_can_be_chosen(app: FastJobs) -> None:
    job_type = app.job(name="mail.send", queue="mail")(work)
    assert (job_type.name, job_type.queue) == ("mail.send", "mail")
    assert app._registry.queues == ["mail"]


def test_two_functions_under_one_name_are_refused_and_both_named(app: FastJobs) -> None:
    app.job(name="same")(work)
    with pytest.raises(ConfigError, match=r"'same' is already registered, for .*work;.*another name"):
        app.job(name="same")(other)
    assert app._registry["same"].handler is work


def test_the_same_function_may_be_registered_again(app: FastJobs) -> None:
    app.job(work)
    app.job(retries=9)(work)
    assert app._registry["work"].retry.retries == 9


@pytest.mark.parametrize("handler", [coroutine, generator, async_generator])
def test_what_runs_nothing_when_called_is_refused(app: FastJobs, handler: object) -> None:
    with pytest.raises(ConfigError, match="async or a generator"):
        app.job(handler)  # type: ignore[call-overload]


def test_what_is_no_function_is_refused(app: FastJobs) -> None:
    with pytest.raises(ConfigError, match="is not a function"):
        app.job(name="nothing")(None)  # type: ignore[arg-type]
    assert len(app._registry) == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "a b"},
        {"queue": "a~b"},
        {"priority": 2**31 + 1},
        {"priority": 1.5},
        {"retries": -1},
        {"retry_delay": -1},
    ],
)
def test_values_that_cannot_be_used_are_refused(app: FastJobs, settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        app.job(**settings)(work)  # type: ignore[call-overload]
    assert len(app._registry) == 0


def test_threads_may_register_side_by_side(app: FastJobs) -> None:
    start = threading.Barrier(8)

    def register(thread: int) -> None:
        start.wait()
        for number in range(200):
            app.job(name=f"{thread}-{number}")(work)
            assert f"{thread}-{number}" in list(app._registry)

    threads = [threading.Thread(target=register, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(app._registry) == 1600


def test_apps_have_registries_of_their_own(app: FastJobs) -> None:
    app.job(work)
    assert len(FastJobs("redis://localhost:1")._registry) == 0
