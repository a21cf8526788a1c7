"""Draws the newest results of `bench.run` and `bench.peers` as SVG into docs/: `python -m bench.plots`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from bench.peers.report import newest_whole
from bench.report import newest_run
from bench.worker import ROOT

DOCS = ROOT / "docs"
_MET, _MISSED, _PLAIN = "#2a7f62", "#c0562f", "#4a6fa5"
#: Text stays text, which is smaller; ids come from the salt, so equal results give equal files.
_STYLE = {"svg.hashsalt": "fastjobs", "svg.fonttype": "none", "font.size": 9, "font.sans-serif": ["DejaVu Sans"]}
_PEER_PANELS = (
    ("enqueue", "enqueue, jobs/s"),
    ("drain", "drain, jobs/s"),
    ("latency_p50", "enqueue to start of an idle worker's job, median, ms"),
    ("memory", "server memory per queued job, bytes"),
)


def draw_targets(run: dict[str, Any], path: Path) -> None:
    """Draws one bar per figure with a target: how far it is beyond or below the target. 1 = just met."""
    bars = [
        (f"{row['title']}: {figure['name']}", _margin(figure))
        for row in run["rows"]
        for figure in row["figures"]
        if figure["at_least"] is not None or figure["at_most"] is not None
    ][::-1]
    plot, axes = plt.subplots(figsize=(9, 0.35 * len(bars) + 1.2), layout="constrained")
    names, values = [name for name, _ in bars], [value for _, value in bars]
    colours = [_MET if value >= 1 else _MISSED for value in values]
    axes.barh(names, [value - 1 for value in values], left=1, color=colours, height=0.6)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("times better than the target (logarithmic)")
    _finish(plot, axes, run, path)


def draw_peers(peers: dict[str, Any], path: Path) -> None:
    """Draws all queues in all configurations: rates, latency, memory. A queue that failed has a line without bars."""
    rows = peers["rows"][::-1]
    names = [f"{row['peer']}, {row['configuration']}" for row in rows]
    colours = [_MET if row["peer"] == "fastjobs" else _PLAIN for row in rows]
    plot, panels = plt.subplots(2, 2, figsize=(10, 0.44 * len(rows) + 1.5), sharey=True, layout="constrained")
    for axes, (figure, label) in zip(panels.flat, _PEER_PANELS, strict=True):
        values = [row["medians"].get(figure, 0) for row in rows]
        # A logarithmic axis has no zero at which bars could begin.
        begin = min(value for value in values if value) / 4
        lengths = [max(value - begin, 0) for value in values]
        bars = axes.barh(names, lengths, left=begin, color=colours, height=0.6, clip_on=False)
        texts = [_short(value) if value else "failed" for value in values]
        axes.bar_label(bars, texts, padding=3, fontsize=8)
        axes.set_xscale("log")
        axes.set_xlim(begin, max(values) * 8)
        axes.minorticks_off()
        axes.tick_params(axis="y", left=False)
        axes.set_xlabel(f"{label} (logarithmic)")
        axes.spines[["top", "right"]].set_visible(False)
    _finish(plot, panels[0, 0], peers, path)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _margin(figure: dict[str, Any]) -> float:
    if figure["at_least"] is not None:
        return float(figure["median"] / figure["at_least"])
    return float(figure["at_most"] / max(figure["median"], 1e-3 * figure["at_most"]))


def _finish(plot: Any, axes: Any, results: dict[str, Any], path: Path) -> None:
    about = results["about"]
    axes.spines[["top", "right"]].set_visible(False)
    plot.suptitle(f"{about['server']}, {about['cpus']} x {about['cpu']}, {about['at'][:10]}", fontsize=9)
    plot.savefig(path, format="svg", metadata={"Date": None})
    plt.close(plot)


def main() -> int:
    """The command; returns 1 when there is nothing to draw."""
    mpl.use("Agg")
    mpl.rcParams.update(_STYLE)
    drawn, run = 0, newest_run("valkey")
    for results, draw, name in (
        (json.loads(run.read_text()) if run else None, draw_targets, "bench-targets.svg"),
        (newest_whole(), draw_peers, "bench-peers.svg"),
    ):
        if results is not None:
            draw(results, DOCS / name)
            print(DOCS / name)
            drawn += 1
    return 0 if drawn else 1


if __name__ == "__main__":
    sys.exit(main())
