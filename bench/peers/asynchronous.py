"""Shared parts of the adapters of queues for asyncio: handlers, uvloop, and many calls at a time."""

import asyncio
from importlib import import_module

from bench.peers import jobs


async def welcome(_context, *, user_id, email, template):
    jobs.welcome(user_id, email=email, template=template)


async def mark(_context, *, name):
    jobs.mark(name)


async def noted(_context, *, begun_ns):
    jobs.noted(begun_ns)


async def hang(_context, *, name):
    jobs.hang(name)


HANDLERS = [welcome, mark, noted, hang]


def use_uvloop() -> None:
    """Makes uvloop the event loop of this process."""
    asyncio.set_event_loop_policy(import_module("uvloop").EventLoopPolicy())


async def many(calls, at_a_time: int) -> None:
    """Awaits coroutines, a limited number at a time."""
    for start in range(0, len(calls), at_a_time):
        await asyncio.gather(*(call() for call in calls[start : start + at_a_time]))
