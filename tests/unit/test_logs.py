"""Log lines: one per event, for people or programs, and nothing a job says can forge one."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator

import pytest

from fastjobs.context import JobLogger
from fastjobs.logs import JsonFormatter, TextFormatter, configure, escape, event


@pytest.fixture(autouse=True)
def untouched_logger() -> Iterator[None]:
    logger = logging.getLogger("fastjobs")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before


def test_text_lines_say_what_happened_with_its_facts(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "text")
    event(logging.getLogger("fastjobs.worker"), logging.WARNING, "job raised", job="c~001", attempt=2)
    line = capsys.readouterr().err
    assert line.endswith(" warning  job raised job=c~001 attempt=2\n")
    assert "\x1b" not in line


def test_json_lines_are_objects_with_the_facts_as_keys(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    event(logging.getLogger("fastjobs.worker"), logging.ERROR, "job failed", job="c", error=ValueError("odd"))
    values = json.loads(capsys.readouterr().err)
    assert values.pop("time") > 1_700_000_000
    assert values == {
        "level": "error",
        "logger": "fastjobs.worker",
        "message": "job failed",
        "job": "c",
        "error": "odd",
    }


def test_lines_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure("warning", "text")
    event(logging.getLogger("fastjobs.worker"), logging.INFO, "unimportant")
    assert capsys.readouterr().err == ""


def test_configuring_twice_does_not_write_twice(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "text")
    configure("info", "text")
    event(logging.getLogger("fastjobs"), logging.INFO, "once")
    assert capsys.readouterr().err.count("once") == 1


def test_other_loggers_are_left_alone() -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    configure("debug", "json")
    assert (root.handlers, root.level) == before


@pytest.mark.parametrize("hostile", ["a\nb", "\x1b[31mred", "\r", "\u202eabc", "\0", "\x9b"])
def test_no_fact_can_forge_a_line_or_steer_a_terminal(hostile: str) -> None:
    record = logging.LogRecord("fastjobs", logging.INFO, "", 0, f"message {hostile}", (), None)
    record.fastjobs_fields = {"job": hostile}
    line = TextFormatter(colour=False).format(record)
    assert line.isprintable()
    assert escape(hostile).isprintable()
    assert JsonFormatter().format(record).count("\n") == 0


def test_no_exception_can_forge_a_line_or_steer_a_terminal() -> None:
    try:
        raise ValueError("\x1b[31mred\n12:00:00.000 info     all is well\r\u202e")
    except ValueError:
        record = logging.LogRecord("fastjobs", logging.ERROR, "", 0, "a hook raised", (), sys.exc_info())
    first, *traceback = TextFormatter(colour=False).format(record).split("\n")
    assert first.endswith("a hook raised")
    assert "Traceback" in traceback[0]
    for line in traceback:
        assert line.startswith("    ")
        assert line.isprintable()
    assert JsonFormatter().format(record).count("\n") == 0


def test_ordinary_text_stays_as_it_is() -> None:
    assert escape("Grüße, 世界 ok") == "Grüße, 世界 ok"


def test_colour_is_for_what_needs_a_look() -> None:
    formatter = TextFormatter(colour=True)
    lines = {
        level: formatter.format(logging.LogRecord("fastjobs", level, "", 0, "x", (), None))
        for level in (logging.INFO, logging.WARNING, logging.ERROR)
    }
    assert "\x1b[" not in lines[logging.INFO]
    assert "\x1b[33m" in lines[logging.WARNING]
    assert "\x1b[31m" in lines[logging.ERROR]


@pytest.mark.parametrize("formatter", [TextFormatter(colour=False), JsonFormatter()])
def test_exceptions_are_shown(formatter: logging.Formatter) -> None:
    try:
        raise ValueError("deep")
    except ValueError:
        record = logging.LogRecord("fastjobs", logging.ERROR, "", 0, "x", (), sys.exc_info())
    assert "ValueError: deep" in formatter.format(record)


class Unspeakable:
    def __str__(self) -> str:
        raise ValueError("no words")


def extra_record(**extra: object) -> logging.LogRecord:
    return logging.getLogger("shop").makeRecord("shop", logging.INFO, "", 0, "paid", (), None, extra=extra)


def test_what_is_passed_as_extra_is_shown() -> None:
    record = extra_record(order=7, customer="a\nb")
    assert TextFormatter(colour=False).format(record).endswith(" info     shop: paid order=7 customer=a\\nb")
    values = json.loads(JsonFormatter().format(record))
    assert (values["order"], values["customer"]) == (7, "a\nb")


def test_extra_fields_do_not_hide_the_time_level_and_logger_of_a_line() -> None:
    values = json.loads(JsonFormatter().format(extra_record(level=3, time="noon", logger="x")))
    assert (values["level"], values["logger"]) == ("info", "shop")
    assert (values["extra_level"], values["extra_time"], values["extra_logger"]) == (3, "noon", "x")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("\ud800", "\ud800"),
        ({"deep": ["\udcff"]}, {"deep": ["\udcff"]}),
        (2**64, 2**64),
        (-(2**200), -(2**200)),
        ({1: "one", "big": 2**99}, {"1": "one", "big": 2**99}),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        ([float("nan"), 2**99], f"[nan, {2**99}]"),
        (Unspeakable(), "(Unspeakable whose text cannot be made: ValueError)"),
        ([Unspeakable(), 2**99], ["(Unspeakable whose text cannot be made: ValueError)", 2**99]),
    ],
)
def test_no_value_loses_a_line(value: object, shown: object) -> None:
    line = JsonFormatter().format(extra_record(value=value))
    assert line.isascii() or "\n" not in line
    assert json.loads(line)["value"] == shown
    assert "\n" not in TextFormatter(colour=False).format(extra_record(value=value))


def test_a_value_that_holds_itself_loses_no_line() -> None:
    circular: list[object] = []
    circular.append(circular)
    assert json.loads(JsonFormatter().format(extra_record(value=circular)))["message"] == "paid"


@pytest.mark.parametrize("formatter", [TextFormatter(colour=False), JsonFormatter()])
def test_stacks_are_shown(formatter: logging.Formatter) -> None:
    record = logging.LogRecord("shop", logging.ERROR, "", 0, "x", (), None, sinfo="Stack (most recent call last):")
    assert "Stack (most recent call last):" in formatter.format(record)


def test_a_configuration_that_disables_existing_loggers_does_not_silence_events(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("info", "text")
    logger = logging.getLogger("fastjobs.worker")
    logger.disabled = True
    event(logger, logging.WARNING, "still there")
    context_lines = JobLogger(logging.getLogger("fastjobs.jobs"), {"job": "c", "type": "t", "attempt": 1})
    context_lines.logger.disabled = True
    context_lines.info("mine as well")
    lines = capsys.readouterr().err
    assert "still there" in lines
    assert "mine as well job=c type=t attempt=1\n" in lines
