"""When recurring jobs are due: cadence, cron expressions, clock changes, and how definitions are stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastjobs import errors
from fastjobs.model.cron import Cron
from fastjobs.model.definition import MISSED_AFTER_MS, Definition, check_id, check_policy
from fastjobs.model.refs import definition_of, run_id
from fastjobs.model.schedules import Every, Schedule, read_schedule
from fastjobs.options import Options

#: From 2020 to 2040.
INSTANTS = st.integers(1_577_836_800_000, 2_208_988_800_000)
EXPRESSIONS = (
    "*/7 * * * *",
    "30 2 * * *",
    "0,30 1-3 * * *",
    "0 * * * *",
    "15 */2 * * *",
    "0 9 * * mon-fri",
    "59 23 L * *",
    "0 0 29 2 *",
    "*/20 30 2 * * *",
    "10,40 * * * * *",
    "5 4 1,15 * mon",
)
ZONES = ("UTC", "Europe/Stockholm", "America/New_York", "America/Havana", "Asia/Kathmandu", "Pacific/Auckland")


def ms(text: str, zone: str = "UTC", fold: int = 0) -> int:
    """An instant from what a clock shows."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1000)


def shown(due_ms: int, zone: str) -> str:
    """What a clock shows at an instant, with its offset."""
    return datetime.fromtimestamp(due_ms / 1000, ZoneInfo(zone)).isoformat()


def dues(schedule: Schedule, after_ms: int, until_ms: int) -> list[int]:
    """All due instants after one instant and up to another, one by one."""
    found = []
    due_ms = schedule.following(0, after_ms)
    while due_ms <= until_ms:
        found.append(due_ms)
        due_ms = schedule.following(due_ms, due_ms)
    return found


def shown_dues(expression: str, zone: str, begin: str, end: str) -> list[str]:
    """What the clock of a zone shows at the due instants between two times of that clock."""
    found = dues(Cron.read(expression, zone), ms(begin, zone) - 1, ms(end, zone))
    return [shown(due_ms, zone) for due_ms in found]


# Every.


@given(st.integers(1, 10**9), INSTANTS, st.integers(0, 10**12))
def test_an_interval_keeps_its_cadence_however_late_it_is_asked_about(
    interval_ms: int, due_ms: int, late_ms: int
) -> None:
    now_ms = due_ms + late_ms
    following = Every(interval_ms).following(due_ms, now_ms)
    assert (following - due_ms) % interval_ms == 0
    assert now_ms < following <= now_ms + interval_ms


@given(st.integers(1, 10**9), INSTANTS, st.integers(0, 10**12), st.integers(1, 50))
def test_the_last_dues_of_an_interval_are_side_by_side_and_end_with_the_latest(
    interval_ms: int, due_ms: int, late_ms: int, limit: int
) -> None:
    now_ms = due_ms + late_ms
    schedule = Every(interval_ms)
    found = schedule.last_dues(due_ms, now_ms, limit)
    assert 1 <= len(found) <= limit
    assert found[-1] + interval_ms == schedule.following(due_ms, now_ms)
    assert all(later - earlier == interval_ms for earlier, later in pairwise(found))
    assert len(found) == limit or found[0] == due_ms


def test_the_first_due_instant_is_an_interval_from_now_or_the_start() -> None:
    now_ms = ms("2026-05-01T12:00:00")
    in_a_minute = datetime(2026, 5, 1, 12, 1, tzinfo=UTC)
    a_minute_ago = datetime(2026, 5, 1, 11, 59, tzinfo=UTC)
    assert Every.read(90).first(now_ms) == now_ms + 90_000
    assert Every.read(90, in_a_minute).first(now_ms) == now_ms + 60_000
    assert Every.read(90, a_minute_ago).first(now_ms) == now_ms + 30_000
    assert Every.read(60, a_minute_ago).first(now_ms) == now_ms + 60_000
    assert Every.read(timedelta(hours=1)).first(now_ms) == now_ms + 3_600_000


@pytest.mark.parametrize(
    "interval", [0, -1, 0.0004, float("nan"), float("inf"), True, "30", None, timedelta(-1), 1e300]
)
def test_an_interval_that_is_none_is_refused(interval: Any) -> None:
    with pytest.raises(errors.ConfigError, match="interval="):
        Every.read(interval)


@pytest.mark.parametrize("start", [datetime(2026, 5, 1), 1_700_000_000, "2026-05-01"])
def test_a_start_that_is_no_aware_datetime_is_refused(start: Any) -> None:
    with pytest.raises(errors.ConfigError, match="start="):
        Every.read(30, start)


# Cron.


@given(st.sampled_from(EXPRESSIONS), st.sampled_from(ZONES), INSTANTS)
def test_due_instants_of_a_cron_expression_only_go_forward(expression: str, zone: str, after_ms: int) -> None:
    schedule = Cron.read(expression, zone)
    found = [schedule.first(after_ms)]
    for _ in range(8):
        found.append(schedule.following(found[-1], found[-1]))
    assert found[0] > after_ms
    assert all(earlier < later for earlier, later in pairwise(found))


@given(st.sampled_from(EXPRESSIONS), st.sampled_from(ZONES), INSTANTS, st.integers(1, 86_400_000))
def test_the_next_due_instant_is_the_same_from_every_instant_before_it(
    expression: str, zone: str, after_ms: int, later_ms: int
) -> None:
    schedule = Cron.read(expression, zone)
    due_ms = schedule.first(after_ms)
    between_ms = min(after_ms + later_ms, due_ms - 1)
    assert schedule.first(between_ms) == due_ms


@given(st.sampled_from(EXPRESSIONS), st.sampled_from(ZONES), INSTANTS, st.integers(0, 5 * 86_400_000))
def test_the_last_dues_of_a_cron_expression_are_those_found_one_by_one(
    expression: str, zone: str, after_ms: int, late_ms: int
) -> None:
    schedule = Cron.read(expression, zone)
    due_ms = schedule.first(after_ms)
    # Few enough to count one by one: a day of an expression that is due every 20 seconds.
    now_ms = due_ms + (late_ms if len(expression.split()) == 5 else late_ms // 50)
    one_by_one = [due_ms, *dues(schedule, due_ms, now_ms)]
    assert schedule.last_dues(due_ms, now_ms, 10) == one_by_one[-10:]
    assert schedule.last_dues(due_ms, now_ms, 1) == one_by_one[-1:]


def test_the_last_due_instant_is_found_after_years_without_counting_through_them() -> None:
    schedule = Cron.read("* * * * * *")
    due_ms, now_ms = ms("2000-01-01T00:00:00"), ms("2030-01-01T00:00:00")
    assert schedule.last_dues(due_ms, now_ms, 2) == [now_ms - 1000, now_ms]


def test_six_fields_begin_with_seconds() -> None:
    assert shown_dues("*/20 0 9 * * *", "UTC", "2026-05-01T00:00:00", "2026-05-01T12:00:00") == [
        "2026-05-01T09:00:00+00:00",
        "2026-05-01T09:00:20+00:00",
        "2026-05-01T09:00:40+00:00",
    ]


def test_working_days_leave_the_weekend_out() -> None:
    found = shown_dues("0 9 * * MON-FRI", "Europe/Stockholm", "2026-05-08T00:00:00", "2026-05-12T00:00:00")
    assert found == ["2026-05-08T09:00:00+02:00", "2026-05-11T09:00:00+02:00"]


def test_the_year_rolls_over() -> None:
    assert Cron.read("0 0 1 1 *").first(ms("2026-12-31T23:59:59.999")) == ms("2027-01-01T00:00:00")
    assert Cron.read("59 59 23 31 12 *").first(ms("2026-12-31T23:59:59")) == ms("2027-12-31T23:59:59")


def test_a_leap_day_comes_every_four_years_but_not_in_2100() -> None:
    schedule = Cron.read("0 0 29 2 *")
    found = dues(schedule, ms("2088-01-01T00:00:00"), ms("2108-12-31T00:00:00"))
    assert [shown(due_ms, "UTC")[:10] for due_ms in found] == [
        "2088-02-29",
        "2092-02-29",
        "2096-02-29",
        "2104-02-29",
        "2108-02-29",
    ]


def test_names_stand_for_expressions() -> None:
    now_ms = ms("2026-05-06T10:30:00")
    first = {
        "@hourly": "2026-05-06T11:00:00",
        "@daily": "2026-05-07T00:00:00",
        "@midnight": "2026-05-07T00:00:00",
        "@weekly": "2026-05-10T00:00:00",
        "@monthly": "2026-06-01T00:00:00",
        "@yearly": "2027-01-01T00:00:00",
        "@Annually": "2027-01-01T00:00:00",
    }
    assert {name: Cron.read(name).first(now_ms) for name in first} == {name: ms(text) for name, text in first.items()}


@pytest.mark.parametrize(
    "expression",
    [
        "0 0 31 2 *",
        "0 0 30 2 *",
        "0 0 31 4,6,9,11 *",
        # The fifth Monday of a month is never its first day.
        "0 0 */31 * 1#5",
        "*/0 * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "5-1 * * * *",
        "a * * * *",
        "* * * *",
        "* * * * * * *",
        "",
        "@every 1ms",
        "@reboot",
        "0 0 * * 5L/2",
        "* * * * * " + "1," * 200 + "1",
        None,
        5,
    ],
)
def test_an_expression_that_cannot_be_read_or_never_comes_due_is_refused(expression: Any) -> None:
    with pytest.raises(errors.ConfigError, match="cron expression"):
        Cron.read(expression)


@pytest.mark.parametrize("zone", ["Europe/Nowhere", "", "../etc/passwd", "/etc/localtime", "UTC\n", "a" * 300, None, 2])
def test_a_time_zone_that_is_not_known_is_refused(zone: Any) -> None:
    with pytest.raises(errors.ConfigError, match="tz="):
        Cron.read("@daily", zone)


# Clock changes. Stockholm: 2026-03-29 02:00 -> 03:00, 2026-10-25 03:00 -> 02:00.


def test_a_given_time_that_vanishes_is_due_once_when_the_gap_has_passed() -> None:
    found = shown_dues("30 2 * * *", "Europe/Stockholm", "2026-03-28T12:00:00", "2026-03-30T12:00:00")
    assert found == ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]


def test_several_times_that_vanish_in_one_gap_are_due_once() -> None:
    found = shown_dues("0,20,40 2,3 * * *", "Europe/Stockholm", "2026-03-29T00:00:00", "2026-03-29T12:00:00")
    assert found == ["2026-03-29T03:00:00+02:00", "2026-03-29T03:20:00+02:00", "2026-03-29T03:40:00+02:00"]


def test_a_given_time_with_seconds_follows_the_same_rule() -> None:
    found = shown_dues("15,45 30 2 * * *", "Europe/Stockholm", "2026-03-29T00:00:00", "2026-03-29T12:00:00")
    assert found == ["2026-03-29T03:00:00+02:00"]
    found = shown_dues("15 30 2 * * *", "Europe/Stockholm", "2026-10-25T00:00:00", "2026-10-25T12:00:00")
    assert found == ["2026-10-25T02:30:15+02:00"]


def test_a_given_time_that_comes_twice_is_due_the_first_time_only() -> None:
    found = shown_dues("30 2 * * *", "Europe/Stockholm", "2026-10-24T12:00:00", "2026-10-26T12:00:00")
    assert found == ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]


def test_a_given_time_is_not_due_again_when_asked_for_between_its_two_showings() -> None:
    schedule = Cron.read("30 2 * * *", "Europe/Stockholm")
    second_showing = ms("2026-10-25T02:10:00", "Europe/Stockholm", fold=1)
    assert shown(schedule.first(second_showing), "Europe/Stockholm") == "2026-10-26T02:30:00+01:00"


def test_steps_go_on_evenly_through_a_gap_and_an_overlap() -> None:
    spring = dues(
        Cron.read("*/20 * * * *", "Europe/Stockholm"), ms("2026-03-29T00:00:00") - 1, ms("2026-03-29T02:00:00")
    )
    autumn = dues(
        Cron.read("*/20 * * * *", "Europe/Stockholm"), ms("2026-10-25T00:00:00") - 1, ms("2026-10-25T02:00:00")
    )
    for found in (spring, autumn):
        assert len(found) == 7
        assert {later - earlier for earlier, later in pairwise(found)} == {1_200_000}


def test_every_hour_is_an_hour_also_when_the_clock_is_changed() -> None:
    found = shown_dues("@hourly", "Europe/Stockholm", "2026-10-25T01:00:00", "2026-10-25T03:00:00")
    assert [text[11:] for text in found] == ["01:00:00+02:00", "02:00:00+02:00", "02:00:00+01:00", "03:00:00+01:00"]


def test_steps_within_a_given_hour_vanish_with_it_and_come_twice_with_it() -> None:
    assert not shown_dues("*/30 2 * * *", "Europe/Stockholm", "2026-03-29T00:00:00", "2026-03-29T12:00:00")
    found = shown_dues("*/30 2 * * *", "Europe/Stockholm", "2026-10-25T00:00:00", "2026-10-25T12:00:00")
    assert [text[11:] for text in found] == ["02:00:00+02:00", "02:30:00+02:00", "02:00:00+01:00", "02:30:00+01:00"]


def test_midnight_that_vanishes_is_due_when_the_day_begins() -> None:
    # Havana: 2026-03-08 00:00 -> 01:00.
    found = shown_dues("@daily", "America/Havana", "2026-03-07T12:00:00", "2026-03-09T12:00:00")
    assert found == ["2026-03-08T01:00:00-04:00", "2026-03-09T00:00:00-04:00"]
    assert shown_dues("*/30 0 * * *", "America/Havana", "2026-03-07T12:00:00", "2026-03-08T12:00:00") == []


def test_a_gap_of_half_an_hour_ends_after_half_an_hour() -> None:
    # Lord Howe Island: 2026-10-04 02:00 -> 02:30.
    found = shown_dues("15 2 * * *", "Australia/Lord_Howe", "2026-10-04T00:00:00", "2026-10-04T12:00:00")
    assert found == ["2026-10-04T02:30:00+11:00"]


def test_a_whole_day_that_vanishes_is_made_up_for_by_the_next() -> None:
    # Samoa had no 30 December 2011.
    found = shown_dues("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00:00", "2011-12-31T23:00:00")
    assert found == ["2011-12-29T12:00:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T12:00:00+14:00"]


# Definitions.


def stored(definition: Definition, line: str = "7 12 active 1700000000000 0 - allow") -> bytes:
    return f"{line} {definition.schedule.text}\n".encode() + definition.body()


@pytest.mark.parametrize(
    "schedule",
    [
        Every(30_000),
        Every(1, 1_700_000_000_000),
        Cron.read("0 9 * *  mon-fri", "Europe/Stockholm"),
        Cron.read("@daily"),
    ],
)
def test_a_schedule_is_read_as_it_is_stored(schedule: Schedule) -> None:
    assert read_schedule(schedule.text) == schedule


def test_a_definition_is_read_as_it_is_stored() -> None:
    definition = Definition(
        id="tick",
        schedule=Cron.read("@daily", "Europe/Stockholm"),
        type="report",
        payload=[1, "\n", {"lang": "sv"}],
        options={"retries": 0},
        priority=-3,
        missed="all",
        missed_limit=7,
    )
    read = Definition.decode("tick", stored(definition))
    assert (read.schedule, read.type, read.payload) == (definition.schedule, "report", [1, "\n", {"lang": "sv"}])
    assert (read.options, read.priority, read.missed, read.missed_limit) == ({"retries": 0}, -3, "all", 7)
    assert (read.version, read.revision, read.paused, read.overlap) == (7, 12, False, "allow")
    assert (read.due_ms, read.last_due_ms, read.last_run_id) == (1_700_000_000_000, 0, None)


def test_fields_of_a_newer_release_are_passed_over_but_a_newer_format_is_not() -> None:
    definition = Definition(id="tick", schedule=Every(1), type="report", payload=[{}])
    line, body = stored(definition).split(b"\n", 1)
    values = orjson.loads(body)
    assert Definition.decode("tick", line + b"\n" + orjson.dumps(values | {"later": 1})).type == "report"
    with pytest.raises(errors.NewerFormat, match="'tick'"):
        Definition.decode("tick", line + b"\n" + orjson.dumps(values | {"v": 2}))


@pytest.mark.parametrize("damaged", [b"", b"\n", b"1 1 active 5 0 - skip every 1 0\n", b"x\n{}", b"\xff\n{}"])
def test_a_damaged_definition_is_told_apart(damaged: bytes) -> None:
    with pytest.raises(errors.CorruptChunk, match="'tick'"):
        Definition.decode("tick", damaged)


@pytest.mark.parametrize(
    "values",
    [
        {"type": 5},
        {"payload": []},
        {"payload": [1]},
        {"payload": None},
        {"options": []},
        {"priority": "high"},
        {"missed": "some"},
        {"missed_limit": 10**9},
    ],
)
def test_a_definition_that_could_not_be_fired_is_not_read(values: dict[str, Any]) -> None:
    definition = Definition(id="tick", schedule=Every(1), type="report", payload=[{}])
    line, body = stored(definition).split(b"\n", 1)
    with pytest.raises((errors.CorruptChunk, errors.ConfigError)):
        Definition.decode("tick", line + b"\n" + orjson.dumps(orjson.loads(body) | values))


def definition_due(due_ms: int, **policy: Any) -> Definition:
    return Definition(id="tick", schedule=Every(1000), type="report", payload=[{}], due_ms=due_ms, **policy)


def test_missed_runs_are_made_up_for_by_policy() -> None:
    due_ms = 1_700_000_000_000
    now_ms = due_ms + 4_500
    assert definition_due(due_ms).runs_due(now_ms) == [due_ms + 4000]
    assert definition_due(due_ms, missed="all").runs_due(now_ms) == [due_ms + step * 1000 for step in range(5)]
    assert definition_due(due_ms, missed="all", missed_limit=2).runs_due(now_ms) == [due_ms + 3000, due_ms + 4000]
    assert definition_due(due_ms, missed="skip").runs_due(now_ms) == [due_ms + 4000]


def test_a_run_counts_as_missed_only_when_it_is_late() -> None:
    due_ms = 1_700_000_000_000
    hourly = Definition(id="tick", schedule=Every(3_600_000), type="report", payload=[{}], due_ms=due_ms, missed="skip")
    assert hourly.runs_due(due_ms + MISSED_AFTER_MS) == [due_ms]
    assert hourly.runs_due(due_ms + MISSED_AFTER_MS + 1) == []


@pytest.mark.parametrize(
    "policy",
    [
        {"version": -1},
        {"version": True},
        {"version": 1.5},
        {"missed": "none"},
        {"missed_limit": 0},
        {"missed_limit": 1001},
        {"overlap": "queue"},
        {"missed": "all", "overlap": "skip"},
    ],
)
def test_a_policy_that_is_none_is_refused(policy: dict[str, Any]) -> None:
    usable = {"version": 0, "missed": "latest", "missed_limit": 100, "overlap": "skip"}
    check_policy(**usable)
    with pytest.raises(errors.ConfigError):
        check_policy(**usable | policy)


def test_ids_of_runs_tell_what_they_are_runs_of() -> None:
    longest = check_id("a:b." * 22 + "xy")
    assert definition_of(run_id(longest, 1_700_000_000_000)) == longest
    assert definition_of(run_id("tick", "0353LCe06onQbmCsDlCza6")) == "tick"
    assert definition_of("0353LCe06onQbmCsDlCza6") is None
    assert len(run_id(longest, "0353LCe06onQbmCsDlCza6")) <= 128
    assert len(run_id(longest, 253_402_300_799_000)) <= 128


@pytest.mark.parametrize("value", ["", "a b", "a~001", "a" * 91, None])
def test_an_id_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(errors.ConfigError, match="id of a recurring job"):
        check_id(value)


def test_no_chosen_job_id_looks_like_a_run() -> None:
    with pytest.raises(errors.ConfigError, match="recur:"):
        Options().with_(job_id="recur:tick:5")


def test_an_offset_is_as_good_a_time_zone_for_a_start_as_a_name() -> None:
    start = datetime(2026, 5, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert Every.read(60, start).start_ms == ms("2026-05-01T10:00:00")
