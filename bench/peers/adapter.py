"""Runs one adapter in its peer's interpreter: `python -m bench.peers.adapter PEER worker`, or an action below."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from bench.payload import arguments
from bench.peers import jobs

_IDLE_TIMEOUT_S = 60.0


async def one(adapter: Any, job: str, name: str) -> None:
    """`one JOB NAME` enqueues `mark` or `hang`, with a name."""
    await _call(adapter.one, job, name=name)


async def enqueue(adapter: Any, number: str) -> None:
    """`enqueue N` enqueues N jobs between two marks; prints the seconds it took, without the marks."""
    items = arguments(int(number))
    await _call(adapter.one, "mark", name="first")
    begun = time.perf_counter()
    await _call(adapter.bulk, items)
    print(time.perf_counter() - begun)
    await _call(adapter.one, "mark", name="last")


async def latency(adapter: Any, number: str, spacing_s: str) -> None:
    """`latency N S` waits until the worker is idle, then enqueues N jobs, S seconds apart, that note their delay.

    Raises:
        TimeoutError: the worker does not run the enqueued jobs.
    """
    await _call(adapter.one, "mark", name="idle")
    deadline = time.monotonic() + _IDLE_TIMEOUT_S
    while not (jobs.NOTES / "idle").exists():
        if time.monotonic() > deadline:
            raise TimeoutError("the worker never became idle")
        await asyncio.sleep(0.01)
    start = time.monotonic()
    for index in range(int(number)):
        await asyncio.sleep(max(0.0, start + index * float(spacing_s) - time.monotonic()))
        await _call(adapter.one, "noted", begun_ns=time.monotonic_ns())


async def _call(function: Callable[..., Any], *positional: Any, **named: Any) -> None:
    outcome = function(*positional, **named)
    if inspect.isawaitable(outcome):
        await outcome


async def _within_session(adapter: Any, act: Callable[..., Any], words: list[str]) -> None:
    async with getattr(adapter, "session", contextlib.nullcontext)():
        await act(adapter, *words)


def main() -> None:
    """The program."""
    peer, act, *words = sys.argv[1:]
    adapter = importlib.import_module(f"bench.peers.with_{peer}")
    if act == "worker":
        command = [str(word) for word in adapter.worker()]
        os.execv(command[0], command)
    asyncio.run(_within_session(adapter, {"one": one, "enqueue": enqueue, "latency": latency}[act], words))


if __name__ == "__main__":
    main()
