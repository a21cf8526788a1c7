"""SAQ; it has no bulk call. Tuned: many calls at a time, no results, more jobs at a time, orjson, uvloop."""

import sys
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import orjson
from saq.queue.redis import RedisQueue

from bench.peers import asynchronous, jobs

if jobs.TUNED:
    asynchronous.use_uvloop()
    queue = RedisQueue.from_url(jobs.URL, dump=orjson.dumps, load=orjson.loads, max_concurrent_ops=20)
else:
    queue = RedisQueue.from_url(jobs.URL)

settings = {"queue": queue, "functions": asynchronous.HANDLERS} | ({"concurrency": 100} if jobs.TUNED else {})
_options = {"ttl": -1} if jobs.TUNED else {}


@asynccontextmanager
async def session():
    await queue.connect()
    yield
    await queue.disconnect()


async def bulk(items):
    if jobs.TUNED:
        await asynchronous.many([partial(one, "welcome", **item) for item in items], at_a_time=20)
    else:
        for item in items:
            await one("welcome", **item)


async def one(job, **arguments):
    await queue.enqueue(job, **arguments, **_options)


def worker():
    command = [Path(sys.executable).with_name("saq"), f"{__name__}.settings"]
    return [*command, "-q"] if jobs.TUNED else command
