"""The table of faults is complete, and the tests it names exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

_TESTS = Path(__file__).parents[1]
_ROWS = {
    f"{letter}{number}"
    for letter, last in (("A", 24), ("B", 32), ("C", 28), ("D", 12))
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


def all_tests() -> dict[str, str]:
    """Test -> its docstring, or nothing."""
    return {
        node.name: ast.get_docstring(node) or ""
        for path in _TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_fault_is_in_the_table():
    assert table().keys() == _ROWS


def test_every_test_the_table_names_exists():
    named = {name for cells in table().values() for name in re.findall(r"`(test_\w+)`", cells[2])}
    assert named - all_tests().keys() == set()


def test_every_row_names_a_test_or_says_why_not():
    for row, cells in table().items():
        assert len(cells) == 3, row
        proof = re.sub(r"`test_\w+`", "", cells[2]).strip()
        assert "`test_" in cells[2] or len(proof) > 30, f"{row} proves nothing and says nothing"


def test_every_test_that_names_a_fault_is_in_its_row():
    rows = table()
    naming = {name: text for name, text in all_tests().items() if text.startswith("Fault")}
    assert naming
    for name, text in naming.items():
        for row in re.findall(r"\b[ABCD]\d+\b", text):
            assert f"`{name}`" in rows[row][2], f"{name} is not in row {row}"


def test_tests_are_named_after_what_they_show():
    assert [name for name in all_tests() if re.match(r"test_[abcd]\d+_", name)] == []
    assert [path.name for path in _TESTS.rglob("test_*.py") if re.search(r"_[abcd]\.py$", path.name)] == []
