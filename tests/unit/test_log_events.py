"""Log events: every one has a fixed name, and stands in docs/logs.md with its level and fields."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Methods of a logger that would write a line past `event`.
METHODS = {"debug", "info", "warning", "error", "exception", "critical", "log"}


def calls() -> Iterator[tuple[Path, ast.Call]]:
    for path in sorted(ROOT.glob("fastjobs/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield path.relative_to(ROOT), node


EVENTS = [(path, call) for path, call in calls() if isinstance(call.func, ast.Name) and call.func.id == "event"]


def documented() -> dict[str, tuple[str, set[str]]]:
    """Event -> its level and fields, as the tables of the page have them."""
    events: dict[str, tuple[str, set[str]]] = {}
    for line in (ROOT / "docs/logs.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[0].startswith("`"):
            name = cells[0].strip("`")
            assert name not in events, f"{name!r} is listed twice"
            events[name] = cells[1], set(re.findall(r"`(\w+)`", cells[2]))
    return events


def name_of(call: ast.Call) -> object:
    return call.args[2].value if isinstance(call.args[2], ast.Constant) else None


def test_every_event_has_a_fixed_name() -> None:
    assert EVENTS
    for path, call in EVENTS:
        name = name_of(call)
        assert isinstance(name, str), f"{path}:{call.lineno}: the name of an event is a literal, values are fields"
        assert re.fullmatch(r"[a-z][\w, -]*\w", name), f"{path}:{call.lineno}: {name!r}"


def test_the_page_lists_every_event_with_its_level_and_no_other() -> None:
    levels = {name_of(call): ast.unparse(call.args[1]) for _, call in EVENTS}
    assert {name: f"logging.{level.upper()}" for name, (level, _) in documented().items()} == levels


def test_an_event_has_one_level() -> None:
    levels = {(name_of(call), ast.unparse(call.args[1])) for _, call in EVENTS}
    assert len(levels) == len({name for name, _ in levels})


def test_the_page_lists_every_field() -> None:
    for path, call in EVENTS:
        fields = {keyword.arg for keyword in call.keywords if keyword.arg} - {"exc_info"}
        _, listed = documented()[str(name_of(call))]
        assert fields <= listed, f"{path}:{call.lineno}: {fields - listed} of {name_of(call)!r}"


def test_nothing_is_logged_but_events() -> None:
    for path, call in calls():
        if isinstance(call.func, ast.Attribute) and call.func.attr in METHODS and path.name != "logs.py":
            assert ast.unparse(call.func.value) not in ("log", "logger", "logging"), f"{path}:{call.lineno}"
