"""The table of faults is complete, and the tests it names exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

_TESTS = Path(__file__).parents[1]
_ROWS = {
    f"{letter}{number}"
    for letter, last in (("A", 20), ("B", 31), ("C", 26), ("D", 12))
    for number in range(1, last + 1)
}


def table() -> dict[str, list[str]]:
    """Row -> fault, what holds, what proves it."""
    rows: dict[str, list[str]] = {}
    for line in (_TESTS / "faults.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if re.fullmatch(r"[ABCD]\d+", cells[0]):
            assert cells[0] not in rows, f"{cells[0]} is there twice"
            rows[cells[0]] = cells[1:]
    return rows


def all_tests() -> set[str]:
    return {
        node.name
        for path in _TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_fault_is_in_the_table():
    assert table().keys() == _ROWS


def test_every_test_the_table_names_exists():
    named = {name for cells in table().values() for name in re.findall(r"`(test_\w+)`", cells[2])}
    assert named - all_tests() == set()


def test_every_row_names_a_test_or_says_why_not():
    for row, cells in table().items():
        assert len(cells) == 3, row
        proof = re.sub(r"`test_\w+`", "", cells[2]).strip()
        assert "`test_" in cells[2] or len(proof) > 30, f"{row} proves nothing and says nothing"


def test_every_test_that_carries_a_number_is_in_its_row():
    rows = table()
    for name in all_tests():
        for row in re.findall(r"(?<=_)([abcd]\d+)(?=_)", name):
            if re.match(rf"test_(?:[abcd]\d+_)*{row}_", name):
                assert f"`{name}`" in rows[row.upper()][2], f"{name} is not in row {row.upper()}"
