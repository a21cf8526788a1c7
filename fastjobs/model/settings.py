"""Reads the values of settings, as programs give them or as text from the environment; ValueError for anything else."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any


def shown(value: object) -> str:
    """Returns how a value is written in an error; Python refuses to write an integer of thousands of digits."""
    return "a huge number" if isinstance(value, int) and value.bit_length() > 64 else repr(value)


def read_integer(value: Any) -> int:
    """Reads an integer, or its text."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError
    return int(value)


def read_number(value: Any) -> float:
    """Reads a finite number or its text, or a timedelta as seconds."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError
    try:
        number = float(value)
    except OverflowError:
        raise ValueError from None
    if not math.isfinite(number):
        raise ValueError
    return number


def read_flag(value: Any) -> bool:
    """Reads a truth value: true or false, yes or no, 1 or 0."""
    if isinstance(value, bool):
        return value
    known = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if str(value).lower() not in known:
        raise ValueError
    return known[str(value).lower()]


def read_text(value: Any) -> str:
    """Reads text."""
    if not isinstance(value, str):
        raise ValueError
    return value


def read_names(value: Any) -> tuple[str, ...]:
    """Reads `a,b`, or a list of names."""
    names = value.split(",") if isinstance(value, str) else value
    return tuple(name for name in (read_text(item).strip() for item in names) if name)


def read_partition_numbers(value: Any) -> dict[str, int]:
    """Reads `a:4,b:2`, or a table of that."""
    if isinstance(value, str):
        value = dict(item.strip().rsplit(":", 1) for item in value.split(",") if item.strip())
    return {str(queue): read_integer(number) for queue, number in value.items()}


def read_keys(value: Any) -> dict[str, str]:
    """Reads `new:BASE64,old:BASE64`, or a table of that; the order counts."""
    if isinstance(value, str):
        value = dict(item.strip().split(":", 1) for item in value.split(",") if item.strip())
    return {str(name): read_text(text) for name, text in value.items()}
