"""Which functions may be handlers, and whether a function that is registered again is the one known before."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import Any, NamedTuple

from fastjobs.errors import ConfigError

_RUNS_NOTHING = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)


def check_handler(handler: object) -> None:
    """Checks that calling an object runs what it stands for.

    A plain function around an async one cannot be judged here, as it may call `asyncio.run`. If it returns a coroutine
    after all, the job fails.

    Raises:
        ConfigError: it cannot be called, or calling it runs nothing.
    """
    if not callable(handler):
        raise ConfigError(f"{handler!r} is not a function")
    function = _without_arguments(handler)
    if any(runs_nothing(called) for called in (function, type(function).__call__) for runs_nothing in _RUNS_NOTHING):
        raise ConfigError(
            f"{describe(handler)} is async or a generator: calling it runs nothing;"
            " register a plain function, for example one that calls asyncio.run"
        )


def describe(handler: Callable[..., Any]) -> str:
    """Returns module and name of a handler, for people."""
    module, name = getattr(handler, "__module__", "?"), getattr(handler, "__qualname__", None)
    return f"{module}.{name}" if name else repr(handler)


class Source(NamedTuple):
    """Where a handler came from when it was registered.

    Names alone do not tell handlers apart: all functions that a decorator without functools.wraps returns have the
    same ones. On the other hand, a module that is run again makes new functions in place of its old ones.
    """

    handler: Callable[..., Any]
    #: Modules, qualified names and file.
    names: tuple[object, ...]
    #: The code of the innermost function.
    code: CodeType | None
    #: The variables of its module: the very dictionary.
    variables: Mapping[str, object]
    #: The spec of its module, of which each run of the module has its own; None for the program that is running.
    run: object

    @staticmethod
    def of(handler: Callable[..., Any]) -> Source:
        """Returns where a handler comes from."""
        function = _innermost(handler)
        code: CodeType | None = getattr(function, "__code__", None)
        variables: Mapping[str, object] = getattr(function, "__globals__", _NOWHERE)
        named = [getattr(one, name, None) for one in (handler, function) for name in ("__module__", "__qualname__")]
        return Source(handler, (*named, code and code.co_filename), code, variables, variables.get("__spec__"))

    def replaces(self, known: Source) -> bool:
        """Whether this is the handler that is known already, or what another run of its module made of it."""
        if self.names != known.names:
            return False
        return _are_one(self.handler, known.handler) or self._ran_after(known)

    def _ran_after(self, known: Source) -> bool:
        if self.variables is not known.variables or self.run is not known.run:
            return True
        # An interactive program runs piece by piece.
        is_piece = self.run is None and self.code is not None and not Path(self.code.co_filename).is_file()
        return is_piece and self.code is not known.code


_NOWHERE: Mapping[str, object] = {}


def _without_arguments(handler: Any) -> Any:
    while isinstance(handler, partial):
        handler = handler.func
    return handler


def _innermost(handler: Any) -> Any:
    """The function in a handler's wrappers and partials; that of its class for an object that can be called."""
    try:
        function = inspect.unwrap(_without_arguments(inspect.unwrap(handler)))
    except ValueError:
        # It wraps itself.
        return handler
    return function if hasattr(function, "__code__") else type(function).__call__


def _are_one(one: object, other: object) -> bool:
    """Whether two handlers are one, or do the same: one function of the source, with the same variables around it."""
    if one is other:
        return True
    if isinstance(one, MethodType):
        return one == other
    if not isinstance(one, FunctionType) or not isinstance(other, FunctionType) or one.__code__ is not other.__code__:
        return False
    held, held_by_other = _held(one), _held(other)
    return len(held) == len(held_by_other) and all(a is b for a, b in zip(held, held_by_other, strict=True))


def _held(function: FunctionType) -> list[object]:
    """What a function has besides its code."""
    by_name = function.__kwdefaults__ or {}
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    return [*cells, *(function.__defaults__ or ()), *(item for pair in by_name.items() for item in pair)]
