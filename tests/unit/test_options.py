"""Options of a call: read and refused where they are given."""

from __future__ import annotations

import inspect
import json
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from fastjobs import FastJobs, JobType
from fastjobs.errors import ConfigError
from fastjobs.model.retry import RetryPolicy
from fastjobs.model.time_limits import Limits
from fastjobs.options import OPTIONS, Options, Where


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


def test_what_happens_on_a_timeout_is_one_of_three() -> None:
    assert Options.of_type(on_timeout="kill").on_timeout == "kill"
    with pytest.raises(ConfigError, match=r"on_timeout='die': use one of 'cooperative', 'replace', 'kill'"):
        Options.of_type(on_timeout="die")


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
        ({"job_id": "a~001"}, "job id 'a~001' is not a name"),
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


def test_what_is_stored_does_not_change_from_release_to_release() -> None:
    """Equal jobs are equal bytes: a job enqueued again by a newer release has to be the same job."""
    at = datetime(2030, 1, 1, tzinfo=UTC)
    chosen = Options().with_(timeout=5, retry_delay=[1, 2.5], retries=0, expires=timedelta(minutes=1))
    assert chosen.stored == b'{"retries":0,"retry_delay":[1,2.5],"timeout_ms":5000,"expires_ms":60000}'
    assert chosen.with_(expires=at).stored.endswith(b'"timeout_ms":5000,"expires_at_ms":1893456000000}')


def test_stored_options_are_read_again_and_those_of_newer_releases_left_out() -> None:
    chosen = Options().with_(retries=2, timeout=1.5)
    assert Options.read_stored({**json.loads(chosen.stored), "newer": 1}) == chosen


def test_what_a_call_chose_counts_before_what_its_type_says() -> None:
    of_type = Options.of_type(retries=9, retry_delay=3, timeout=60, expires=60)
    chosen = Options().with_(retries=2, expires=datetime(2030, 1, 1, tzinfo=UTC))
    retry = chosen.retry(of_type.retry(RetryPolicy(3)))
    assert (retry.retries, retry.delay) == (2, 3)
    assert chosen.limits(of_type.limits(Limits())) == Limits(timeout_ms=60_000, expires_at_ms=1_893_456_000_000)


def test_options_are_shown_as_they_were_given() -> None:
    given = {"retries": 2, "retry_delay": (1, 2.5), "timeout": timedelta(seconds=5)}
    assert Options().with_(queue="mail", priority=3, **given).shown() == given
    at = datetime(2030, 1, 1, tzinfo=UTC)
    assert Options().with_(expires=at).shown() == {"expires": at}


# The table.


@pytest.mark.parametrize(("where", "function"), [(Where.JOB_TYPE, FastJobs.job), (Where.CALL, JobType.options)])
def test_signatures_take_the_options_of_the_table(where: Where, function: Any) -> None:
    parameters = inspect.signature(function).parameters.values()
    taken = {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY and one.name != "name"}
    allowed = {one.name: one.default if where is Where.JOB_TYPE else None for one in OPTIONS if where in one.where}
    assert taken == allowed


def test_every_field_belongs_to_one_option_of_the_table() -> None:
    assert sorted(item.name for item in fields(Options)) == sorted(name for one in OPTIONS for name in one.fields)


def test_options_that_are_stored_may_be_given_to_calls() -> None:
    assert all(Where.CALL in one.where and Where.RECURRING in one.where for one in OPTIONS if one.stored)
