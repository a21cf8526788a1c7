"""Finds out why arguments cannot be stored, and where the offending value is.

The fast pass in the core only says no; this slow walk says why. Values themselves are never shown:
they may be secret.
"""

from __future__ import annotations

import math
from typing import Any

from fastjobs.errors import PayloadError
from fastjobs.model.secret import SECRET_KEY, Secret

#: Deepest nesting of lists and dicts that is stored.
MAX_DEPTH = 128


def explain(args: Any, kwargs: Any) -> PayloadError | None:
    """Returns what is wrong with a job's arguments, or None when they can be stored.

    Args:
        args: positional arguments, a tuple or list.
        kwargs: keyword arguments, a dict, or None.
    """
    try:
        for index, value in enumerate(args):
            _walk(value, f"args[{index}]", 1)
        _walk_dict({} if kwargs is None else kwargs, "kwargs", 0)
    except PayloadError as error:
        return error
    return None


def _walk(value: Any, path: str, depth: int) -> None:
    kind = type(value)
    if kind is dict:
        _walk_dict(value, path, depth)
    elif kind is list or kind is tuple:
        _check_depth(path, depth)
        for index, item in enumerate(value):
            _walk(item, f"{path}[{index}]", depth + 1)
    elif kind is str:
        _check_text(value, path)
    elif kind is int:
        if not -(2**63) <= value < 2**64:
            raise PayloadError(f"{path}: an integer beyond 64 bits cannot be stored", path)
    elif kind is float:
        if not math.isfinite(value):
            raise PayloadError(f"{path}: NaN and infinity cannot be stored", path)
    elif kind is Secret:
        _check_text(value.reveal(), path)
    elif value is not None and kind is not bool:
        raise PayloadError(
            f"{path}: a value of type {kind.__name__} cannot be stored;"
            " use None, bool, int, float, str, list, tuple, dict or Secret",
            path,
        )


def _walk_dict(value: dict[Any, Any], path: str, depth: int) -> None:
    _check_depth(path, depth)
    for key, item in value.items():
        if type(key) is not str:
            raise PayloadError(f"{path}: a key of type {type(key).__name__}; keys must be str", path)
        _check_text(key, f"{path} (a key)")
        if key == SECRET_KEY:
            raise PayloadError(f"{path}: the key {key!r} is kept for how a Secret is stored", path)
        inner = f"{path}.{key}" if key.isidentifier() else f"{path}[{key!r}]"
        _walk(item, inner, depth + 1)


def _check_depth(path: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        where = path if len(path) < 200 else f"{path[:200]}..."
        raise PayloadError(f"{where}: nested deeper than {MAX_DEPTH} levels, or in a circle", where)


def _check_text(value: str, path: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise PayloadError(f"{path}: a lone surrogate cannot be stored as UTF-8", path) from None
