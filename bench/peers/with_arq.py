"""arq, without results, with its usual ten jobs at a time; it has no bulk call."""

import asyncio
import sys
from pathlib import Path

from arq import create_pool
from arq.connections import RedisSettings

from bench.peers import jobs

_settings = RedisSettings(unix_socket_path=jobs.SOCKET)


async def welcome(_context, user_id, *, email, template):
    jobs.welcome(user_id, email=email, template=template)


async def mark_run(_context, name):
    jobs.mark(name)


class WorkerSettings:
    functions = [welcome, mark_run]
    redis_settings = _settings
    keep_result = 0


async def _send(calls):
    pool = await create_pool(_settings)
    for name, args, kwargs in calls:
        await pool.enqueue_job(name, *args, **kwargs)
    await pool.aclose()


def enqueue(items):
    asyncio.run(_send([("welcome", (), item) for item in items]))


def mark(name):
    asyncio.run(_send([("mark_run", (name,), {})]))


def worker():
    return [Path(sys.executable).with_name("arq"), f"{__name__}.WorkerSettings"]
