"""Which functions may be handlers, and which of those that look alike are the same one."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fastjobs import ConfigError, Context, FastJobs


@pytest.fixture
def app() -> FastJobs:
    # Nothing here connects.
    return FastJobs("redis://localhost:1")


def charge(amount: int) -> str:
    return f"charged {amount}"


def refund(amount: int) -> str:
    return f"refunded {amount}"


def careless(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator without functools.wraps: all that it returns look alike."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def times(function: Callable[..., Any], number: int) -> Callable[..., Any]:
    """A decorator of good manners."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return [function(*args, **kwargs) for _ in range(number)]

    return wrapper


def with_default(number: int) -> Callable[..., Any]:
    def run(amount: int = number) -> int:
        return amount

    return run


@contextmanager
def module(folder: Path, source: str) -> Iterator[Any]:
    """A module with a name of its own, until the block ends."""
    name = f"shop_{folder.name}".replace("-", "_")
    (folder / f"{name}.py").write_text(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        # Compiled code counts as new if the file's size and second have not changed.
        patch.setattr(sys, "dont_write_bytecode", True)
        yield importlib.import_module(name)
        del sys.modules[name]


class Shop:
    def __init__(self, name: str) -> None:
        self.name = name

    def sell(self) -> str:
        return self.name

    def __call__(self) -> str:
        return self.name


#: Pairs of handlers that differ, and look alike.
ALIKE: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "closures": (careless(charge), careless(refund)),
    "wrapped by a decorator of good manners": (times(charge, 1), times(charge, 2)),
    "defaults": (with_default(1), with_default(2)),
    "lambdas": (lambda: 1, lambda: 2),
    "methods of two objects": (Shop("a").sell, Shop("b").sell),
    "objects that can be called": (Shop("a"), Shop("b")),
    "partials of one function": (functools.partial(charge, 1), functools.partial(charge, 2)),
    "partials of two functions": (functools.partial(charge, 1), functools.partial(refund, 1)),
}


@pytest.mark.parametrize("kind", ALIKE)
def test_another_handler_that_looks_like_the_first_is_refused(app: FastJobs, kind: str) -> None:
    one, other = ALIKE[kind]
    app.job(name="same")(one)
    with pytest.raises(ConfigError, match="'same' is already registered"):
        app.job(name="same")(other)
    assert app._registry["same"].handler is one


def test_two_functions_of_one_name_in_one_module_are_refused(app: FastJobs, tmp_path: Path) -> None:
    with module(tmp_path, "def send(): return 1\nfirst = send\ndef send(): return 2\n") as sends:
        app.job(sends.first)
        with pytest.raises(ConfigError, match="'send' is already registered"):
            app.job(sends.send)


@pytest.mark.parametrize("again", [charge, careless(charge), Shop("a").sell, Shop("a"), functools.partial(charge, 1)])
def test_the_very_same_handler_may_be_registered_again(app: FastJobs, again: Callable[..., Any]) -> None:
    app.job(name="same")(again)
    app.job(name="same", retries=9)(again)
    assert app._registry["same"].retry.retries == 9


def test_a_function_that_registers_local_handlers_may_be_called_again(app: FastJobs) -> None:
    def register() -> None:
        @app.job
        def local(number: int = 5) -> int:
            return number + len(sys.argv)

    register()
    register()
    assert list(app._registry) == ["local"]


@pytest.mark.parametrize(
    "source",
    [
        "def work(): return {}",
        "import functools\ndef work(): return {}\ninner = work\n@functools.wraps(inner)\ndef work(): return inner()",
        "class Shop:\n    def __call__(self): return {}\nwork = Shop()",
        "class Shop:\n    def sell(self): return {}\nwork = Shop().sell",
        "import functools\ndef inner(number): return number\nwork = functools.partial(inner, {})",
    ],
)
def test_a_module_that_is_run_again_replaces_its_handlers(app: FastJobs, tmp_path: Path, source: str) -> None:
    with module(tmp_path, source.format(1)) as shop:
        app.job(name="work")(shop.work)
        for number in (2, 2, 33):
            Path(shop.__file__ or "").write_text(source.format(number))
            importlib.invalidate_caches()
            importlib.reload(shop)
            app.job(name="work")(shop.work)
            assert app._registry["work"].handler() == number


def test_what_a_notebook_defines_again_replaces_what_it_defined(app: FastJobs) -> None:
    names: dict[str, Any] = {"__name__": "__main__", "__spec__": None}
    for number in (1, 2):
        exec(compile(f"def work(): return {number}", "<ipython-input-1>", "exec"), names)
        app.job(names["work"])
    assert app._registry["work"].handler() == 2


async def fetch() -> None: ...


class Fetch:
    async def __call__(self) -> None: ...


class Generate:
    def __call__(self) -> Iterator[int]:
        yield 1


@pytest.mark.parametrize(
    "handler",
    [Fetch(), Generate(), functools.partial(fetch), functools.partial(Fetch()), Fetch().__call__],
    ids=["async call", "generator call", "partial", "partial of an async call", "method"],
)
def test_what_runs_nothing_when_called_is_refused_however_it_is_packed(app: FastJobs, handler: Any) -> None:
    with pytest.raises(ConfigError, match="async or a generator"):
        app.job(name="fetch")(handler)


def test_a_function_that_runs_a_coroutine_may_carry_its_name(app: FastJobs) -> None:
    """`asyncio.run` in a decorator is a plain function, whatever it wraps."""

    @functools.wraps(fetch)
    def run() -> int:
        return 1

    assert app.job(run)() == 1


def test_a_handler_without_a_name_needs_one(app: FastJobs) -> None:
    with pytest.raises(ConfigError, match=r"has no name.*@app.job\(name="):
        app.job(functools.partial(charge, 1))


def test_a_job_type_that_is_registered_again_is_a_type_of_its_own(app: FastJobs) -> None:
    def contextual(context: Context, number: int) -> tuple[str, int]:
        return context.type, number

    first = app.job(queue="a")(contextual)
    second = app.job(name="second", queue="b")(first)
    assert (second.name, second.queue, second.call(1).job_type.name) == ("second", "b", "second")
    assert (first.name, first.queue, first.call(1).job_type.name) == ("contextual", "a", "contextual")
    assert second(5) == ("second", 5)
    assert app._registry["second"].handler is contextual


def test_attributes_of_a_handler_do_not_become_those_of_its_job_type(app: FastJobs) -> None:
    def work() -> None: ...

    work._options = work._line = work._registered = None  # type: ignore[attr-defined]
    assert app.job(work).call().job_type.name == "work"


def test_a_parameter_may_be_called_self(app: FastJobs) -> None:
    def work(self: int, registered: int = 0, args: int = 0, **kwargs: int) -> tuple[int, int, int, dict[str, int]]:
        return self, registered, args, kwargs

    job_type = app.job(work)
    assert job_type(self=1, registered=2, args=3, kwargs=4) == (1, 2, 3, {"kwargs": 4})
    assert job_type.call(self=1, args=3).kwargs == {"self": 1, "args": 3}
    assert job_type.options(priority=1).call(self=1).kwargs == {"self": 1}
