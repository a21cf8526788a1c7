"""Reads stored numbers: a score or a time that no job can have counts as the nearest one, or as none."""

from __future__ import annotations

import math

#: Priorities are from minus this to this: the store orders by double-precision scores, which hold these exactly.
PRIORITY_LIMIT = 2**31
#: The last instant that Python's datetime knows, in milliseconds since 1970.
LATEST_MS = 253_402_300_799_000
#: Doubles, which scripts count with, hold smaller whole numbers exactly.
COUNT_LIMIT = 2**53
#: Longer than any run, in seconds.
LONGEST_RUN_S = 1e10


def parse_priority(score: bytes) -> int:
    """Returns the priority that a score stands for; the nearest one for a score that no job can have."""
    try:
        priority = -int(score)
    except ValueError:
        number = _number(score)
        priority = 0 if number is None else -round(number)
    return max(-PRIORITY_LIMIT, min(PRIORITY_LIMIT, priority))


def _number(text: bytes) -> float | None:
    """The number in a text, infinite ones cut to what a float can hold; None when it is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return None if math.isnan(number) else max(-1e300, min(1e300, number))


def parse_due(score: str) -> int:
    """Returns the due time (ms) that a score says; 0 for one that no job can have."""
    number = _number(score.encode()) or 0.0
    return int(number) if 0 <= number <= LATEST_MS else 0
