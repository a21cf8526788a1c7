"""Draws the newest results of `bench.run` and `bench.peers` as SVG into docs/: `python -m bench.plots`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from bench.report import OUT
from bench.worker import ROOT

DOCS = ROOT / "docs"
_MET, _MISSED, _PLAIN = "#2a7f62", "#c0562f", "#4a6fa5"


def newest(kind: str) -> dict[str, Any] | None:
    """Returns the newest results of a kind, `run` or `peers`; None when there are none."""
    files = sorted(OUT.glob(f"{kind}-*.json"))
    return json.loads(files[-1].read_text()) if files else None


def draw_targets(run: dict[str, Any], path: Path) -> None:
    """One bar per figure with a target: how far beyond it, or short of it. 1 = just met."""
    bars = [
        (f"{row['title']}: {figure['name']}", _margin(figure), figure)
        for row in run["rows"]
        for figure in row["figures"]
        if figure["at_least"] is not None or figure["at_most"] is not None
    ][::-1]
    plot, axes = plt.subplots(figsize=(9, 0.35 * len(bars) + 1.2), layout="constrained")
    values = [value for _, value, _ in bars]
    axes.barh(
        [name for name, *_ in bars], values, color=[_MET if value >= 1 else _MISSED for value in values], height=0.6
    )
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("times better than the target (logarithmic)")
    _finish(plot, axes, run, path)


def draw_peers(peers: dict[str, Any], path: Path) -> None:
    """Enqueue and drain rates of all queues."""
    names = list(peers["rates"])[::-1]
    plot, panels = plt.subplots(1, 2, figsize=(9, 0.4 * len(names) + 1.2), sharey=True, layout="constrained")
    for axes, act in zip(panels, ("enqueue", "drain"), strict=True):
        medians = [sorted(peers["rates"][name][act])[len(peers["rates"][name][act]) // 2] for name in names]
        bars = axes.barh(names, medians, color=_PLAIN, height=0.6)
        axes.bar_label(bars, [f"{value:,.0f}" for value in medians], padding=3, fontsize=8)
        axes.set_xscale("log")
        axes.set_xlim(right=max(medians) * 20)
        axes.set_xlabel(f"{act}, jobs/s (logarithmic)")
        axes.spines[["top", "right"]].set_visible(False)
    _finish(plot, panels[0], peers, path)


def _margin(figure: dict[str, Any]) -> float:
    if figure["at_least"] is not None:
        return float(figure["median"] / figure["at_least"])
    return float(figure["at_most"] / max(figure["median"], 1e-3 * figure["at_most"]))


def _finish(plot: Any, axes: Any, results: dict[str, Any], path: Path) -> None:
    about = results["about"]
    axes.spines[["top", "right"]].set_visible(False)
    plot.suptitle(f"{about['server']}, {about['cpus']} x {about['cpu']}, {about['at'][:10]}", fontsize=9)
    # Without a date in it the same results give the same file.
    plot.savefig(path, format="svg", metadata={"Date": None})
    plt.close(plot)


def main() -> int:
    """The command; returns 1 when there is nothing to draw."""
    mpl.use("Agg")
    mpl.rcParams.update({"svg.hashsalt": "fastjobs", "font.size": 9})
    DOCS.mkdir(exist_ok=True)
    drawn = 0
    for kind, draw, name in (("run", draw_targets, "bench-targets.svg"), ("peers", draw_peers, "bench-peers.svg")):
        results = newest(kind)
        if results is not None:
            draw(results, DOCS / name)
            print(DOCS / name)
            drawn += 1
    return 0 if drawn else 1


if __name__ == "__main__":
    sys.exit(main())
