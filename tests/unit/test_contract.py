"""tests/contract.md: every test it names exists, and it leaves nothing out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
NAMED = re.compile(r"([a-z_]+/test_[a-z_]+\.py)::(\w+)")


def rows_under(heading: str) -> list[list[str]]:
    text = (TESTS / "contract.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def names_in(file: str) -> set[str]:
    """The functions of a test file, and what it assigns: a state machine's test is a name for its class."""
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


ITS_TESTS, BEHAVIOURS = rows_under("Tests of albrow/jobs"), rows_under("Behaviours and gaps")


def test_its_41_tests_and_48_behaviours_are_listed_once() -> None:
    assert len({row[0] for row in ITS_TESTS}) == len(ITS_TESTS) == 41
    assert [int(row[0]) for row in BEHAVIOURS] == list(range(1, 49))


@pytest.mark.parametrize("row", ITS_TESTS + BEHAVIOURS, ids=lambda row: row[0])
def test_each_row_names_tests_that_exist(row: list[str]) -> None:
    named = NAMED.findall(row[-1])
    assert named, f"{row[0]} names no test"
    assert ", ".join("::".join(name) for name in named) == row[-1]
    for file, name in named:
        assert name.startswith(("test_", "Test")), f"{name} is no test"
        assert (TESTS / file).is_file(), f"there is no {file}"
        assert name in names_in(file), f"{file} has no {name}"
