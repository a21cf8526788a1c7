"""The command: `python -m tests.chaos [--topology single] [--minutes 3] [--seed N]`; ends with 1 on a bad verdict."""

from __future__ import annotations

import argparse
import random
import shutil
import sys

from tests.chaos.calm import run_calm
from tests.chaos.chaos import run_chaos
from tests.chaos.topologies import TOPOLOGIES
from tests.chaos.world import World, make_directory


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("--topology", choices=tuple(TOPOLOGIES), default="single", help="the servers it runs on")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=None, help="decides what is done; without one, it is drawn")
    parser.add_argument(
        "--nemesis", choices=("on", "off"), default="on", help="off: jobs at full speed, each exactly once"
    )
    parser.add_argument("--jobs", type=int, default=5_000_000, help="with --nemesis off")
    arguments = parser.parse_args()
    if arguments.nemesis == "off":
        return run_calm(arguments.jobs)
    seed = random.randrange(1 << 32) if arguments.seed is None else arguments.seed
    print(f"{arguments.topology}, seed {seed}, {arguments.minutes} minutes", flush=True)
    directory = make_directory()
    with World(directory, TOPOLOGIES[arguments.topology]()) as world:
        verdict, report = run_chaos(world, arguments.minutes * 60, seed)
    print(report)
    for problem in verdict.problems:
        print(f"PROBLEM: {problem}")
    if verdict.problems:
        print(f"the journal and the logs are in {directory}")
        return 1
    shutil.rmtree(directory)
    print("all is well")
    return 0


if __name__ == "__main__":
    sys.exit(main())
