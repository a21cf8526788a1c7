"""The peers' results: a row per configuration, as a table and as JSON; a peer that failed has a row as well."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.peers.catalogue import PEERS, Configuration
from bench.peers.measure import FIGURES
from bench.report import OUT, aligned, format_value, summary
from bench.rows import Figure

_HEADS = {
    "enqueue": "enqueue, jobs/s",
    "drain": "drain, jobs/s",
    "latency_p50": "latency p50",
    "latency_p99": "p99",
    "memory": "server memory per job",
}


@dataclass
class PeerResult:
    """The measurements of one configuration."""

    peer: str
    configuration: Configuration
    values: dict[str, list[float]] = field(default_factory=lambda: {figure.name: [] for figure in FIGURES})
    #: What went wrong; else "".
    failed: str = ""

    def add(self, round_values: dict[str, float]) -> None:
        """Adds the values of one round."""
        for name, value in round_values.items():
            self.values[name].append(value)

    def as_json(self) -> dict[str, Any]:
        """Returns everything as it is stored."""
        return {
            "peer": self.peer,
            "configuration": self.configuration.name,
            "jobs": self.configuration.jobs,
            "survives": self.configuration.survives,
            "results": self.configuration.results,
            "remark": self.configuration.remark,
            "failed": self.failed,
            "values": self.values,
            "medians": {name: statistics.median(values) for name, values in self.values.items() if values},
        }


def save(results: list[PeerResult], about: dict[str, Any]) -> tuple[Path, Path]:
    """Writes the results as JSON and Markdown; returns the paths."""
    OUT.mkdir(exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    as_json, as_markdown = OUT / f"peers-{stamp}.json", OUT / f"peers-{stamp}.md"
    stored = {"about": about, "rows": [result.as_json() for result in results]}
    as_json.write_text(json.dumps(stored, indent=1) + "\n")
    as_markdown.write_text(f"{head(about)}\n{whole_table(stored['rows'])}\n")
    return as_json, as_markdown


def newest_whole() -> dict[str, Any] | None:
    """Returns the newest stored results of all peers, None when there are none; quick and partial runs do not count."""
    everyone = {peer.name for peer in PEERS}
    for path in sorted(OUT.glob("peers-*.json"), reverse=True):
        stored: dict[str, Any] = json.loads(path.read_text())
        if not stored["about"]["quick"] and {row["peer"] for row in stored["rows"]} == everyone:
            return stored
    return None


def head(about: dict[str, Any]) -> str:
    """Returns the machine and versions that the results depend on, as a paragraph."""
    lowest, highest = about["load_during"]
    return (
        f"{summary(about).rstrip()}; load {lowest:.1f} .. {highest:.1f} while it ran, the comparison's own included\n"
    )


def whole_table(rows: list[dict[str, Any]]) -> str:
    """Returns all rows as a Markdown table: medians, with the spread of the rates."""
    lines = [["queue", "configuration", *_HEADS.values(), "survives a killed worker", "keeps results here", "remark"]]
    for row in rows:
        facts = [row["survives"], row["results"], row["remark"]]
        lines.append([row["peer"], row["configuration"], *_cells(row, spread=True), *facts])
    return aligned(lines)


def short_table(rows: list[dict[str, Any]]) -> str:
    """Returns each peer's row that drains fastest, and fastjobs' single jobs, as a Markdown table."""
    lines = [["queue", *_HEADS.values(), "survives a killed worker"]]
    chosen = best(rows)
    for row in rows:
        if row not in chosen and row["configuration"] != "one by one":
            continue
        lines.append([f"{row['peer']}, {row['configuration']}", *_cells(row, spread=False), row["survives"]])
    return aligned(lines)


def best(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns each peer's configuration that drains fastest, in the order of the peers."""
    chosen: dict[str, dict[str, Any]] = {}
    for row in rows:
        other = chosen.get(row["peer"])
        if other is None or row["medians"].get("drain", 0) > other["medians"].get("drain", 0):
            chosen[row["peer"]] = row
    return list(chosen.values())


def _cells(row: dict[str, Any], *, spread: bool) -> list[str]:
    if row["failed"]:
        return ["FAILED: " + row["failed"].replace("|", "\\|"), *[""] * (len(_HEADS) - 1)]
    cells = []
    for figure in FIGURES:
        cell = _format(figure.unit, row["medians"][figure.name])
        if spread and figure.unit == "jobs/s":
            values = row["values"][figure.name]
            cell += f" ({_format(figure.unit, min(values))} .. {_format(figure.unit, max(values))})"
        cells.append(cell)
    return cells


def _format(unit: str, value: float) -> str:
    # The heads of the columns say what is counted per second.
    return format_value(Figure("", "" if unit == "jobs/s" else unit), value)
