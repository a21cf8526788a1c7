"""Fails when a figure of a quick run falls below its floor in floors.toml: `python -m bench.guard`, for CI."""

from __future__ import annotations

import argparse
import statistics
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench import instructions
from bench.report import Result, aligned
from bench.rows import ROWS, Setting
from bench.run import measure
from bench.server import server_binary

FLOORS = Path(__file__).with_name("floors.toml")
_ROUNDS = 3


class Check(NamedTuple):
    """One figure and its floor (or ceiling)."""

    name: str
    value: float
    bound: float
    is_floor: bool

    @property
    def holds(self) -> bool:
        """Whether the figure is on the right side of its bound."""
        return self.value >= self.bound if self.is_floor else self.value <= self.bound


def measured_rows(floors: dict[str, dict[str, float]], binary: str) -> list[Result]:
    """Measures the rows that have a floor.

    Raises:
        SystemExit: floors.toml names a row that does not exist.
    """
    names = {name.partition(".")[0] for name in (*floors["at_least"], *floors["at_most"])}
    unknown = names - {row.name for row in ROWS}
    if unknown:
        raise SystemExit(f"{FLOORS.name}: no row {', '.join(sorted(unknown))}")
    return measure([row for row in ROWS if row.name in names], Setting(binary, quick=True), _ROUNDS)


def check_rows(floors: dict[str, dict[str, float]], results: list[Result]) -> Iterator[Check]:
    """Compares the rows' medians with their floors.

    Raises:
        SystemExit: a row could not be measured, or has no such figure.
    """
    by_name = {result.row.name: result for result in results}
    for kind in ("at_least", "at_most"):
        for name, bound in floors[kind].items():
            row, _, figure = name.partition(".")
            values = by_name[row].values.get(figure)
            if not values:
                raise SystemExit(f"{name}: {by_name[row].failed or by_name[row].skipped or 'no such figure'}")
            yield Check(name, statistics.median(values), bound, kind == "at_least")


def check_instructions(bounds: dict[str, float]) -> Iterator[Check]:
    """Compares instruction counts."""
    for counted, bound in bounds.items():
        ratio = instructions.per_job(counted) / instructions.per_job(instructions.PARTNERS[counted])
        yield Check(f"instructions.{counted}", ratio, bound, is_floor=False)


def main() -> int:
    """The command; returns 1 when a floor is broken."""
    parser = argparse.ArgumentParser(prog="python -m bench.guard", description=__doc__)
    parser.add_argument("--server", default="valkey", help="valkey (the embedded one), redis (on PATH) or a path")
    parser.add_argument("--only-instructions", action="store_true", help="count instructions, measure no times")
    options = parser.parse_args()
    floors = tomllib.loads(FLOORS.read_text())
    checks: list[Check] = []
    if instructions.missing():
        print(f"instruction counts are skipped: {instructions.missing()}")
    else:
        checks += check_instructions(floors["instructions"])
    if not options.only_instructions:
        checks += check_rows(floors, measured_rows(floors, server_binary(options.server)))
    lines = [["figure", "measured", "bound", ""]]
    for check in checks:
        sign = ">=" if check.is_floor else "<="
        lines.append(
            [check.name, f"{check.value:.3f}", f"{sign} {check.bound:g}", "holds" if check.holds else "BROKEN"]
        )
    print(aligned(lines))
    return 0 if checks and all(check.holds for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
