"""Loops without a queue, in processes of their own, with which workers are compared.

As a program, `python -m bench.bare decode N` or `python -m bench.bare burn N ROUNDS`, it prints `ready`, waits for a
line, works, and prints the seconds it took.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from orjson import loads

from bench.payload import payloads


def welcome(user_id: int, *, email: str, template: str) -> None:
    """The handler of the reference job."""


def decode_and_call(jobs: Sequence[bytes]) -> None:
    """The least that a worker in Python has to do: decode the arguments of each job and call its handler."""
    for job in jobs:
        arguments = loads(job)
        keywords = arguments.pop()
        welcome(*arguments, **keywords)


def burn(rounds: int) -> None:
    """The work of `bench.app.burn`."""
    for _ in range(rounds):
        pass


def _burn_all(jobs: Sequence[int]) -> None:
    for rounds in jobs:
        burn(rounds)


def rounds_for_ms(milliseconds: float) -> int:
    """Returns how many rounds of `burn` take that long on this machine if nothing disturbs them."""
    rounds = 20_000
    best_s = min(_seconds(burn, rounds) for _ in range(50))
    return round(rounds * milliseconds / 1000 / best_s)


def run(*arguments: object, processes: int = 1) -> float:
    """Runs this program in `processes` processes side by side; returns the seconds the slowest took."""
    command = [sys.executable, "-m", "bench.bare", *map(str, arguments)]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    return max(float(child.communicate()[0]) for child in children)


def _seconds(work: Callable[[Any], None], on: Any) -> float:
    begun = time.perf_counter()
    work(on)
    return time.perf_counter() - begun


def main() -> None:
    """The program."""
    kind, number, *rest = sys.argv[1:]
    work: Callable[[], float]
    if kind == "decode":
        jobs = payloads(int(number))
        work = lambda: _seconds(decode_and_call, jobs)  # noqa: E731 - one of two, chosen by an argument
    else:
        burns = [int(rest[0])] * int(number)
        work = lambda: _seconds(_burn_all, burns)  # noqa: E731
    print("ready", flush=True)
    sys.stdin.readline()
    print(work(), flush=True)


if __name__ == "__main__":
    main()
