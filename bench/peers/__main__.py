"""Runs all peers in all configurations, in rounds, on one kind of server: `make bench-peers`; see ../README.md."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

from bench.peers.catalogue import PEERS, Peer
from bench.peers.environment import interpreter
from bench.peers.measure import PeerFailed, last_line, measure
from bench.peers.report import PeerResult, head, save, whole_table
from bench.report import machine
from bench.rows import Setting
from bench.server import server_binary

_ROUNDS = 3
#: Jobs per configuration of a quick run, which checks that each ran once.
_QUICK_JOBS = 100


def choose(names: str | None) -> list[Peer]:
    """Returns the peers with these names, separated by commas; None = all.

    Raises:
        SystemExit: there is no such peer.
    """
    if names is None:
        return list(PEERS)
    known = {peer.name: peer for peer in PEERS}
    unknown = [name for name in names.split(",") if name not in known]
    if unknown:
        raise SystemExit(f"no peer {unknown[0]!r}; there are {', '.join(known)}")
    return [known[name] for name in names.split(",")]


def prepare(peers: list[Peer]) -> tuple[list[PeerResult], dict[str, str]]:
    """Returns an empty result for each configuration, and the interpreters; peers that cannot be installed fail."""
    results, pythons = [], {}
    for peer in peers:
        failed = ""
        try:
            pythons[peer.name] = interpreter(peer.name)
        except subprocess.CalledProcessError as error:
            failed = f"cannot be installed: {last_line(error.stderr or '')}"
        results += [PeerResult(peer.name, configuration, failed=failed) for configuration in peer.configurations]
    return results, pythons


def measure_all(results: list[PeerResult], pythons: dict[str, str], setting: Setting, rounds: int) -> list[float]:
    """Measures each configuration once per round, so that a temporary disturbance of the machine affects all.

    Returns:
        The machine's load after each measurement.
    """
    loads = [os.getloadavg()[0]]
    for turn in range(rounds):
        for result in results:
            if result.failed:
                continue
            name, jobs = result.configuration.name, setting.jobs(result.configuration.jobs, _QUICK_JOBS)
            begun = time.monotonic()
            try:
                result.add(measure(result.peer, name, pythons[result.peer], setting, jobs, counted=setting.quick))
            except PeerFailed as error:
                result.failed = str(error)
            outcome = result.failed or {figure: round(values[-1], 2) for figure, values in result.values.items()}
            loads.append(os.getloadavg()[0])
            seconds = time.monotonic() - begun
            print(
                f"round {turn + 1}/{rounds}  {result.peer} {name}  {seconds:.1f} s  {outcome}",
                file=sys.stderr,
                flush=True,
            )
    return loads


def main() -> int:
    """The command; returns its exit code: 0 when every peer could be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few jobs, one round; checks that each job runs once")
    parser.add_argument("--peers", help="names separated by commas: " + ",".join(peer.name for peer in PEERS))
    parser.add_argument("--rounds", type=int, help=f"rounds [default: {_ROUNDS}, quick 1]")
    parser.add_argument("--server", default="valkey", help="valkey (the embedded one), redis (on PATH) or a path")
    options = parser.parse_args()
    setting = Setting(server_binary(options.server), options.quick)
    rounds = options.rounds or (1 if options.quick else _ROUNDS)
    results, pythons = prepare(choose(options.peers))
    about = machine(setting, rounds)
    loads = measure_all(results, pythons, setting, rounds)
    about["load_during"] = [min(loads), max(loads)]
    print(head(about))
    print(whole_table([result.as_json() for result in results]))
    print("\n" + " and ".join(str(path) for path in save(results, about)))
    return 1 if any(result.failed for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
