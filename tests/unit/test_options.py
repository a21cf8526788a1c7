"""Options of a call: read and refused where they are given."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from fastjobs.errors import ConfigError
from fastjobs.options import Options


def test_options_are_kept_and_replaced() -> None:
    options = Options().with_(queue="mail", priority=5).with_(priority=7, retries=2, job_id="mine")
    assert options == Options(queue="mail", priority=7, retries=2, job_id="mine")


def test_an_option_given_as_none_is_not_given() -> None:
    assert Options(priority=5).with_(priority=None) == Options(priority=5)


@pytest.mark.parametrize("priority", [-(2**31), -1, 0, 2**31])
def test_priorities_up_to_the_limits_are_taken(priority: int) -> None:
    assert Options().with_(priority=priority).priority == priority


@pytest.mark.parametrize("delay", [1.5, timedelta(seconds=1.5)])
def test_a_delay_is_seconds_or_a_timedelta(delay: Any) -> None:
    assert Options().with_(delay=delay).delay_ms == 1500


def test_the_smallest_delay_is_not_lost() -> None:
    assert Options().with_(delay=0.0001).delay_ms == 1
    assert Options().with_(delay=0).delay_ms == 0


def test_a_time_is_an_instant_whatever_its_zone() -> None:
    at = datetime(2030, 1, 1, 12, tzinfo=UTC)
    same = at.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert Options().with_(at=at).due_at_ms == Options().with_(at=same).due_at_ms == 1_893_499_200_000


def test_a_time_before_1970_is_in_the_past() -> None:
    assert Options().with_(at=datetime(1900, 1, 1, tzinfo=UTC)).due_at_ms == 1


def test_a_later_choice_of_delay_or_time_replaces_the_other() -> None:
    at = datetime(2030, 1, 1, tzinfo=UTC)
    assert Options().with_(delay=5).with_(at=at).delay_ms == 0
    assert Options().with_(at=at).with_(delay=5).due_at_ms == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"priority": 2**31 + 1}, "priority=2147483649: use an integer"),
        ({"priority": 1.0}, "priority=1.0"),
        ({"priority": True}, "priority=True"),
        ({"queue": "a b"}, "queue 'a b' is not a name"),
        ({"job_id": "a~1"}, "job id 'a~1' is not a name"),
        ({"job_id": ""}, "job id '' is not a name"),
        ({"retries": -1}, "retries=-1"),
        ({"retries": 1.5}, "retries=1.5"),
        ({"retry_delay": -1}, "retry_delay=-1"),
        ({"retry_delay": []}, r"retry_delay=\[\]"),
        ({"retry_delay": [1, float("nan")]}, "retry_delay=nan"),
        ({"retry_delay": lambda attempt: 1}, "as a function is for @app.job"),
        ({"delay": -1}, "delay=-1"),
        ({"delay": float("inf")}, "delay=inf"),
        ({"delay": True}, "delay=True"),
        ({"delay": "5"}, "delay='5'"),
        ({"delay": timedelta(days=-1)}, "delay="),
        ({"delay": timedelta(days=51 * 366)}, "50 years"),
        ({"at": datetime(2030, 1, 1)}, "has no time zone"),
        ({"at": 5}, "at=5: use a datetime"),
        ({"at": datetime(2101, 1, 1, tzinfo=UTC)}, "too late"),
        ({"delay": 5, "at": datetime(2030, 1, 1, tzinfo=UTC)}, "delay or at, not both"),
        ({"prority": 5}, "no option 'prority'; there are queue, priority"),
    ],
)
def test_values_that_cannot_be_used_are_refused_with_a_reason(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Options().with_(**given)


def test_only_what_a_worker_has_to_know_is_stored() -> None:
    assert Options(queue="q", priority=3, delay_ms=5).stored == b""
    assert json.loads(Options(retries=0, retry_delay=(1, 2.5)).stored) == {"retries": 0, "retry_delay": [1, 2.5]}
