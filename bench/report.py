"""Results as a table, as JSON and as Markdown, with the machine and versions they were measured on."""

from __future__ import annotations

import json
import os
import platform
import statistics
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.rows import ROWS, Figure, Row, Setting

OUT = Path(__file__).parent / "out"


@dataclass
class Result:
    """The measurements of one row: a list of values per figure."""

    row: type[Row]
    values: dict[str, list[float]] = field(default_factory=dict)
    #: Why it was not measured, and what went wrong; else "".
    skipped: str = ""
    failed: str = ""

    def add(self, round_values: dict[str, float]) -> None:
        """Adds the values of one round."""
        for figure in self.row.figures:
            self.values.setdefault(figure.name, []).append(round_values[figure.name])

    def median(self, name: str) -> float:
        """Returns the median of a figure."""
        return statistics.median(self.values[name])


def machine(setting: Setting, rounds: int) -> dict[str, Any]:
    """Returns the machine, versions and settings that the results depend on."""
    with setting.server() as server:
        server_version = server.version()
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "server": server_version,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cpu": _cpu_model(),
        "cpus": len(os.sched_getaffinity(0)),
        "load_1min": os.getloadavg()[0],
        "packages": {name: version(name) for name in ("fastjobs", "redis", "hiredis", "orjson", "zstandard")},
        "quick": setting.quick,
        "rounds": rounds,
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def summary(about: dict[str, Any]) -> str:
    """Returns the same as a paragraph."""
    packages = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    return (
        f"{about['server']}, unix socket, AOF everysec; {about['cpus']} x {about['cpu']}, Linux {about['kernel']},"
        f" Python {about['python']}, {packages}; {about['rounds']} rounds{' (quick)' if about['quick'] else ''},"
        f" load {about['load_1min']:.1f}, {about['at']}\n"
    )


def table(results: list[Result]) -> str:
    """Returns a Markdown table: median, lowest and highest value of each figure, and its target."""
    lines = [["what", "figure", "median", "lowest", "highest", "target", ""]]
    for result in results:
        title = result.row.title
        if result.skipped or result.failed:
            lines.append(
                [title, "", result.failed or result.skipped, "", "", "", "FAILED" if result.failed else "skipped"]
            )
            continue
        for figure in result.row.figures:
            values = result.values[figure.name]
            middle = statistics.median(values)
            cells = [format_value(figure, value) for value in (middle, min(values), max(values))]
            lines.append([title, figure.name, *cells, format_target(figure), verdict(figure, middle)])
            title = ""
    return aligned(lines)


def verdict(figure: Figure, value: float) -> str:
    """Returns whether a figure meets its target, or "" if it has none."""
    if figure.at_least is None and figure.at_most is None:
        return ""
    return "met" if figure.meets(value) else "MISSED"


def format_value(figure: Figure, value: float) -> str:
    """Returns a value with its unit, to three or four digits."""
    if value >= 1e6:
        text = f"{value / 1e6:.2f} M"
    elif value >= 1e4:
        text = f"{value / 1e3:.0f} k"
    else:
        text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return f"{text} {figure.unit}".strip()


def format_target(figure: Figure) -> str:
    """Returns the target of a figure, or "" if it has none."""
    if figure.at_least is not None:
        return ">= " + format_value(figure, figure.at_least)
    return "" if figure.at_most is None else "<= " + format_value(figure, figure.at_most)


def aligned(lines: list[list[str]]) -> str:
    """Returns a Markdown table with aligned columns; the first line is its head."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    lines.insert(1, ["-" * width for width in widths])
    rows = (
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )
    return "\n".join(rows)


def save(results: list[Result], about: dict[str, Any]) -> tuple[Path, Path]:
    """Writes the results as JSON and Markdown; returns the paths."""
    OUT.mkdir(exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    as_json, as_markdown = OUT / f"run-{stamp}.json", OUT / f"run-{stamp}.md"
    rows = [
        {
            "name": result.row.name,
            "title": result.row.title,
            "skipped": result.skipped,
            "failed": result.failed,
            "figures": [
                {
                    "name": figure.name,
                    "unit": figure.unit,
                    "at_least": figure.at_least,
                    "at_most": figure.at_most,
                    "values": result.values[figure.name],
                    "median": result.median(figure.name),
                }
                for figure in result.row.figures
                if figure.name in result.values
            ],
        }
        for result in results
    ]
    as_json.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")
    as_markdown.write_text(f"{summary(about)}\n{table(results)}\n")
    return as_json, as_markdown


def newest_run(server: str) -> Path | None:
    """Returns the newest stored results of all rows; None when there are none. Quick and partial runs do not count.

    Args:
        server: the server of the run, for example `valkey`.
    """
    everything = {row.name for row in ROWS}
    for path in sorted(OUT.glob("run-*.json"), reverse=True):
        stored = json.loads(path.read_text())
        whole = not stored["about"]["quick"] and {row["name"] for row in stored["rows"]} == everything
        if whole and stored["about"]["server"].startswith(server):
            return path
    return None
