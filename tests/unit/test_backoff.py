"""Waiting between tries: growing, spread, capped."""

from __future__ import annotations

from fastjobs.server.backoff import Backoff


def test_waits_double_up_to_the_cap() -> None:
    backoff = Backoff(first_s=0.1, cap_s=1.0)
    bounds = [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    waits = [backoff.next_s() for _ in bounds]
    for wait_s, bound_s in zip(waits, bounds, strict=True):
        assert bound_s / 2 <= wait_s <= bound_s


def test_waits_are_spread() -> None:
    waits = {Backoff(first_s=1.0).next_s() for _ in range(20)}
    assert len(waits) > 10


def test_a_reset_begins_again() -> None:
    backoff = Backoff(first_s=0.1, cap_s=10.0)
    for _ in range(10):
        backoff.next_s()
    backoff.reset()
    assert backoff.next_s() <= 0.1
