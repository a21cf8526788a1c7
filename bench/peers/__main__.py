"""Runs all adapters, in turn on servers of the same kind: `make bench-peers`; see ../README.md."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from datetime import UTC, datetime

from bench.report import OUT, aligned, format_value, machine, summary
from bench.rows import Figure, Setting
from bench.server import BenchServer, server_binary, wait_until
from bench.worker import ROOT

#: Jobs per round; the rates of all of them are linear.
_JOBS = {"fastjobs": 1_000_000, "rq": 5_000, "dramatiq": 10_000, "celery": 5_000, "huey": 10_000, "arq": 3_000}
_DRAIN_TIMEOUT_S = 180.0
_RATE = Figure("rate", "jobs/s")


def measure(name: str, python: str, server: BenchServer, number: int) -> dict[str, float]:
    """Enqueues and drains; returns jobs per second of both.

    The drain is timed between two marking jobs, one before all others and one behind them: no start of a worker is
    in it.
    """
    environment = os.environ | {"PEERS_SOCKET": server.socket, "PYTHONPATH": str(ROOT)}
    command = [python, "-m", "bench.peers.adapter", name]
    enqueued = subprocess.run(
        [*command, "enqueue", str(number)], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    worker = subprocess.Popen(
        [*command, "worker"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: server.client.get("peers:last"), _DRAIN_TIMEOUT_S, f"{name} has drained", every_s=0.05)
    finally:
        worker.terminate()
        try:
            worker.wait(30)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
    seconds = float(server.client.get("peers:last")) - float(server.client.get("peers:first"))
    return {"enqueue": number / float(enqueued.stdout.split()[-1]), "drain": number / seconds}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument(
        "--python",
        action="append",
        required=True,
        metavar="[PEER=]PATH",
        help="interpreter that has the peers; with PEER= of that one (repeatable)",
    )
    parser.add_argument("--peers", default=",".join(_JOBS), help="names separated by commas [default: all]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--server", default="redis", help="redis (on PATH), valkey (the embedded one) or a path")
    options = parser.parse_args()
    pythons = {peer: path for peer, _, path in (text.rpartition("=") for text in options.python)}
    setting = Setting(server_binary(options.server), quick=False)
    names = options.peers.split(",")
    rates: dict[str, dict[str, list[float]]] = {name: {"enqueue": [], "drain": []} for name in names}
    for _ in range(options.rounds):
        for name in names:
            python = sys.executable if name == "fastjobs" else pythons.get(name) or pythons[""]
            with setting.server() as server:
                for act, rate in measure(name, python, server, _JOBS[name]).items():
                    rates[name][act].append(rate)
            print(name, {act: round(values[-1]) for act, values in rates[name].items()}, file=sys.stderr, flush=True)
    about = machine(setting, options.rounds)
    _report(rates, about)


def _report(rates: dict[str, dict[str, list[float]]], about: dict[str, object]) -> None:
    lines = [["queue", "enqueue", "lowest .. highest", "drain", "lowest .. highest"]]
    for name, acts in rates.items():
        line = [name]
        for values in acts.values():
            line += [format_value(_RATE, statistics.median(values)), f"{min(values):.0f} .. {max(values):.0f}"]
        lines.append(line)
    text = f"{summary(about)}\n{aligned(lines)}\n"
    print(text)
    OUT.mkdir(exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    (OUT / f"peers-{stamp}.md").write_text(text)
    (OUT / f"peers-{stamp}.json").write_text(json.dumps({"about": about, "rates": rates}, indent=1) + "\n")


if __name__ == "__main__":
    main()
