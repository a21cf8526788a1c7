"""What all commands of `fastjobs` have in common, and how they print."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import click
import pytest

from fastjobs.cli.main import command
from fastjobs.cli.output import as_plain
from fastjobs.cli.tables import Grid, as_text
from fastjobs.model.schedules import read_schedule


def leaves(group: click.Group, path: str = "fastjobs") -> Iterator[tuple[str, click.Command]]:
    for name, found in group.commands.items():
        if isinstance(found, click.Group):
            yield from leaves(found, f"{path} {name}")
        else:
            yield f"{path} {name}", found


def test_every_command_but_the_worker_has_json_for_programs() -> None:
    without = [path for path, found in leaves(command) if not any("--json" in option.opts for option in found.params)]
    assert without == ["fastjobs worker"]


def test_times_have_a_t_and_durations_are_seconds() -> None:
    at = datetime(2026, 11, 26, 8, tzinfo=UTC)
    assert as_plain({"at": at, "age": timedelta(minutes=1.5), "all": ({"at": at, "age": timedelta(1)},)}) == {
        "at": "2026-11-26T08:00:00+00:00",
        "age_s": 90.0,
        "all": [{"at": "2026-11-26T08:00:00+00:00", "age_s": 86400.0}],
    }


def test_a_table_in_a_pipe_is_one_line_per_row_without_borders() -> None:
    grid = Grid(("name", "jobs", "note"), [("a", "1,000", ""), ("long name", "2", "x\ny\x1b[2J")], right=("jobs",))
    assert as_text(grid).splitlines() == [
        "name        jobs  note",
        "a          1,000  -",
        "long name      2  x, y\\x1b[2J",
    ]


def test_the_commands_work_without_rich() -> None:
    program = (
        "import sys; sys.modules['rich'] = None; sys.argv = ['fastjobs', '--help']\n"
        "from fastjobs.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ("every 500 0", "every 0.5 s"),
        ("every 90000 0", "every 90 s"),
        ("every 5400000 0", "every 90 min"),
        ("every 7200000 0", "every 2 h"),
        ("every 86400000 0", "every 1 d"),
        ("cron Europe/Stockholm 0 9 * * mon-fri", "0 9 * * MON-FRI, Europe/Stockholm"),
    ],
)
def test_schedules_are_shown_in_words(stored: str, words: str) -> None:
    assert read_schedule(stored).words == words
