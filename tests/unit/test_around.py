"""What surrounds a handler is composed once per job type; a plain handler is called as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fastjobs import Context, FastJobs
from fastjobs.worker.process.around import Composer
from fastjobs.worker.process.hooks import HookCaller
from tests.harness.jobs import Bench, make_bench


def plain(x: int) -> None: ...


def contextual(context: Context, x: int) -> None: ...


@pytest.fixture
def app() -> FastJobs:
    app = FastJobs("unix:///nowhere")
    app.job(plain)
    app.job(contextual)
    return app


@pytest.fixture
def bench() -> Iterator[Bench]:
    with make_bench() as made:
        yield made


def composer_of(app: FastJobs, bench: Bench) -> Composer:
    hooks = HookCaller(app._registry.hooks, app._registry, None, "w")
    return Composer(app._registry, hooks, 5_000, bench.backlog)


def test_a_handler_without_context_is_called_as_it_is(app: FastJobs, bench: Bench) -> None:
    composer = composer_of(app, bench)
    assert composer.around("plain").handler is plain
    assert composer.around("unknown").handler is None


def test_a_plain_type_has_nothing_around_it(app: FastJobs, bench: Bench) -> None:
    table = composer_of(app, bench).table([("plain", b"")])
    assert table == ([plain], None, None, None, 5_000, True)


def test_what_surrounds_a_type_is_composed_once(app: FastJobs, bench: Bench) -> None:
    composer = composer_of(app, bench)
    table = composer.table([("contextual", b"")])
    assert composer.table([("contextual", b"")]) is table
    assert composer.table([("contextual", b'{"priority":1}'), ("plain", b"")]).handlers == [*table.handlers, plain]


def test_a_type_that_is_registered_again_is_composed_again(app: FastJobs, bench: Bench) -> None:
    composer = composer_of(app, bench)
    before = composer.around("contextual").handler
    app.job(contextual)
    assert composer.around("contextual").handler is not before


def test_a_table_with_an_unknown_type_is_composed_each_time(app: FastJobs, bench: Bench) -> None:
    composer = composer_of(app, bench)
    assert composer.table([("late", b"")]).handlers == [None]

    def late() -> None: ...

    app.job(late)
    assert composer.table([("late", b"")]).handlers == [late]


class Incomparable:
    """Compares as arrays do."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth value is ambiguous")

    __hash__ = object.__hash__

    def __call__(self, x: int) -> None: ...


def test_a_handler_that_cannot_be_compared_is_leased_like_any_other(app: FastJobs, bench: Bench) -> None:
    """Fault C18."""
    app.job(name="odd")(Incomparable())
    assert composer_of(app, bench).table([("odd", b""), ("plain", b"")]).complete


def test_options_of_a_call_take_the_place_of_the_limits_of_its_type(app: FastJobs, bench: Bench) -> None:
    table = composer_of(app, bench).table([("plain", b'{"timeout_ms":50}'), ("contextual", b"")])
    assert table.limits is not None
    assert [limits.timeout_ms for limits in table.limits] == [50, 0]


@pytest.mark.parametrize(
    ("hook", "expected"),
    [
        ("before_job", ([True, False], None)),
        ("after_job", (None, [True, True])),
        ("on_failed", (None, [True, True])),
    ],
)
def test_hooks_surround_the_types_they_are_for(app: FastJobs, bench: Bench, hook: str, expected: Any) -> None:
    """A job of an unknown type does not run, but it may fail."""
    getattr(app._registry.hooks, hook).append(print)
    table = composer_of(app, bench).table([("plain", b""), ("unknown", b"")])
    assert tuple(each and [found is not None for found in each] for each in (table.before, table.after)) == expected
