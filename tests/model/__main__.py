"""`make model`: the state machines with one random seed after the other, for a time; a failure's seed is told."""

from __future__ import annotations

import argparse
import random
import sys
import time

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.harness.server import ServerProcess
from tests.model.clock import timed_scripts
from tests.model.machine import QueueMachine
from tests.model.recurring import RecurringMachine

MACHINES = {"queue": QueueMachine, "recurring": RecurringMachine}


def run(machine: type, number: int, runs: int, steps: int, *, shrink: bool) -> None:
    """Runs a machine with a seed; raises what is wrong."""
    seed(number)(machine)
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=runs,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )


def main() -> int:
    """Returns the exit code: 1 when something failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="how long; the last seed is run to its end")
    parser.add_argument("--seed", type=int, help="run this seed only, and shrink what it finds")
    parser.add_argument("--machine", choices=MACHINES, help="run this machine only")
    parser.add_argument("--runs", type=int, default=100, help="runs per seed")
    parser.add_argument("--steps", type=int, default=60, help="steps per run")
    chosen = parser.parse_args()
    machines = {name: kind for name, kind in MACHINES.items() if chosen.machine in (None, name)}
    until = time.monotonic() + chosen.minutes * 60
    with ServerProcess() as server, timed_scripts():
        for kind in machines.values():
            kind.server = server
        while True:
            number = random.randrange(2**32) if chosen.seed is None else chosen.seed
            for name, kind in machines.items():
                begun, before = time.monotonic(), kind.steps
                try:
                    run(kind, number, chosen.runs, chosen.steps, shrink=chosen.seed is not None)
                except BaseException:
                    print(
                        f"{name} failed; again: python -m tests.model --machine {name} --seed {number}"
                        f" --runs {chosen.runs} --steps {chosen.steps}",
                        flush=True,
                    )
                    raise
                took_s = time.monotonic() - begun
                print(f"{name}: seed {number}, {kind.steps - before} steps in {took_s:.0f} s, all is well", flush=True)
            if chosen.seed is not None or time.monotonic() >= until:
                return 0


if __name__ == "__main__":
    sys.exit(main())
