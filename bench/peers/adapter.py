"""Runs one adapter in its peer's interpreter: `python -m bench.peers.adapter NAME enqueue N`, or `... worker`."""

from __future__ import annotations

import importlib
import os
import sys
import time

from bench.payload import arguments


def main() -> None:
    """The program; `enqueue` prints the seconds it took for N jobs, without the marks around them."""
    name, act, *rest = sys.argv[1:]
    adapter = importlib.import_module(f"bench.peers.with_{name}")
    if act == "worker":
        command = [str(word) for word in adapter.worker()]
        os.execv(command[0], command)
    items = arguments(int(rest[0]))
    adapter.mark("first")
    begun = time.perf_counter()
    adapter.enqueue(items)
    seconds = time.perf_counter() - begun
    adapter.mark("last")
    print(seconds)


if __name__ == "__main__":
    main()
