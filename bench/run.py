"""Runs the rows of the table in several interleaved rounds, and prints medians and spread; see README.md."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Sequence

from bench.report import Result, machine, save, summary, table
from bench.rows import ROWS, SCALING, Row, Setting
from bench.server import server_binary

_ROUNDS, _QUICK_ROUNDS = 5, 2


def choose(names: str | None, *, quick: bool) -> list[type[Row]]:
    """Returns the rows with these names, separated by commas; None = all of `ROWS`, or the quick ones for a quick run.

    Raises:
        SystemExit: there is no such row.
    """
    if names is None:
        return [row for row in ROWS if row.quick or not quick]
    known = {row.name: row for row in (*ROWS, *SCALING)}
    unknown = [name for name in names.split(",") if name not in known]
    if unknown:
        raise SystemExit(f"no row {unknown[0]!r}; there are {', '.join(known)}")
    return [known[name] for name in names.split(",")]


def measure(rows: Sequence[type[Row]], setting: Setting, rounds: int) -> list[Result]:
    """Measures every row once per round, so that a temporary disturbance of the machine affects all rows."""
    results = [Result(row) for row in rows]
    live: list[tuple[Row, Result]] = []
    for kind, result in zip(rows, results, strict=True):
        row = kind(setting)
        result.skipped = row.unavailable()
        if not result.skipped:
            row.prepare()
            live.append((row, result))
    for turn in range(rounds):
        for row, result in live:
            if turn >= row.max_rounds or result.failed:
                continue
            begun = time.monotonic()
            try:
                result.add(row.measure(turn))
            except Exception as error:
                result.failed = repr(error)
                traceback.print_exc()
            seconds = time.monotonic() - begun
            print(f"round {turn + 1}/{rounds}  {row.name:<15} {seconds:6.1f} s", file=sys.stderr, flush=True)
    return results


def main() -> int:
    """The command; returns its exit code: 0 when every row could be measured, even if targets are missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer jobs, rounds and rows: under 90 seconds")
    parser.add_argument("--rows", help="names separated by commas: " + ",".join(row.name for row in (*ROWS, *SCALING)))
    parser.add_argument("--rounds", type=int, help=f"rounds [default: {_ROUNDS}, quick {_QUICK_ROUNDS}]")
    parser.add_argument("--server", default="valkey", help="valkey (the embedded one), redis (on PATH) or a path")
    options = parser.parse_args()
    setting = Setting(server_binary(options.server), options.quick)
    rounds = options.rounds or (_QUICK_ROUNDS if options.quick else _ROUNDS)
    results = measure(choose(options.rows, quick=options.quick), setting, rounds)
    about = machine(setting, rounds)
    print(summary(about))
    print(table(results))
    print("\n" + " and ".join(str(path) for path in save(results, about)))
    return 1 if any(result.failed for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
