"""The arithmetic of the benchmarks: what turns measurements into verdicts."""

from __future__ import annotations

import tomllib

import pytest

from bench.guard import FLOORS, Check, check_rows
from bench.instructions import PARTNERS
from bench.notes import Note
from bench.report import Result
from bench.rows import ROWS, Figure, Row
from bench.rows.handlers import longest_idle_ms

MS = 1_000_000


class TwoSides(Row):
    name = "two_sides"
    title = "a row"
    figures = (Figure("ratio", "x"), Figure("size", "bytes"))

    def measure(self, turn: int) -> dict[str, float]:
        return {}


def measured(*rounds: tuple[float, float]) -> Result:
    result = Result(TwoSides)
    for ratio, size in rounds:
        result.add({"ratio": ratio, "size": size})
    return result


def test_idling_counts_while_jobs_are_unstarted() -> None:
    busy = [Note(start * MS, (start + 100) * MS, 1) for start in (10, 110, 210)]
    idler = [Note(10 * MS, 20 * MS, 2), Note(95 * MS, 96 * MS, 2)]
    # From 96 to 210, when the last job is started elsewhere.
    assert longest_idle_ms(busy + idler) == 114


def test_idling_does_not_count_once_the_last_job_has_started() -> None:
    runs = [Note(10 * MS, 500 * MS, 1), Note(10 * MS, 20 * MS, 2), Note(25 * MS, 30 * MS, 2)]
    assert longest_idle_ms(runs) == 5


def test_a_figure_meets_its_target_from_the_right_side() -> None:
    assert Figure("f", "x", at_least=2).meets(2)
    assert not Figure("f", "x", at_least=2).meets(1.9)
    assert Figure("f", "x", at_most=2).meets(2)
    assert not Figure("f", "x", at_most=2).meets(2.1)
    assert Figure("f", "x").meets(-1e9)


def test_the_guard_judges_medians() -> None:
    floors = {"at_least": {"two_sides.ratio": 0.5}, "at_most": {"two_sides.size": 15.0}}
    good, bad = measured((0.4, 14), (0.6, 15), (0.7, 99)), measured((0.4, 16), (0.45, 17), (9.0, 1))
    assert [check.holds for check in check_rows(floors, [good])] == [True, True]
    assert [check.holds for check in check_rows(floors, [bad])] == [False, False]


def test_the_guard_does_not_pass_what_was_not_measured() -> None:
    floors = {"at_least": {"two_sides.ratio": 0.5}, "at_most": {}}
    failed = Result(TwoSides, failed="it broke")
    with pytest.raises(SystemExit, match="it broke"):
        list(check_rows(floors, [failed]))


def test_a_ceiling_breaks_above() -> None:
    assert Check("size", 15.0, 15.0, is_floor=False).holds
    assert not Check("size", 15.1, 15.0, is_floor=False).holds


def test_floors_are_of_figures_that_exist() -> None:
    floors = tomllib.loads(FLOORS.read_text())
    known = {f"{row.name}.{figure.name}" for row in ROWS for figure in row.figures}
    assert {*floors["at_least"], *floors["at_most"]} <= known
    assert set(floors["instructions"]) <= set(PARTNERS)
