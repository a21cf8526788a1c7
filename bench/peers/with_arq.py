"""arq; it has no bulk call. Tuned: many calls at a time, no results, more jobs at a time, short polling, uvloop."""

import sys
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from arq import create_pool
from arq.connections import RedisSettings

from bench.peers import asynchronous, jobs

if jobs.TUNED:
    asynchronous.use_uvloop()

_settings = RedisSettings(unix_socket_path=jobs.SOCKET)
_pools = []


class WorkerSettings:
    functions = asynchronous.HANDLERS
    redis_settings = _settings
    if jobs.TUNED:
        keep_result = 0
        max_jobs = 100
        poll_delay = 0.005
        log_results = False


@asynccontextmanager
async def session():
    async with await create_pool(_settings) as pool:
        _pools.append(pool)
        yield


async def bulk(items):
    if jobs.TUNED:
        await asynchronous.many([partial(one, "welcome", **item) for item in items], at_a_time=50)
    else:
        for item in items:
            await one("welcome", **item)


async def one(job, **arguments):
    await _pools[0].enqueue_job(job, **arguments)


def worker():
    return [Path(sys.executable).with_name("arq"), f"{__name__}.WorkerSettings"]
