"""taskiq with the stream broker of taskiq-redis; it has no bulk call. Tuned: 20 calls at a time, no results, orjson."""

import sys
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from taskiq.serializers import ORJSONSerializer
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from bench.peers import asynchronous, jobs

if jobs.TUNED:
    asynchronous.use_uvloop()
    broker = RedisStreamBroker(jobs.URL, max_connection_pool_size=20).with_serializer(ORJSONSerializer())
else:
    # As in the first example of its documentation.
    broker = RedisStreamBroker(jobs.URL).with_result_backend(RedisAsyncResultBackend(jobs.URL, result_ex_time=1000))


@broker.task
async def welcome(user_id: int, email: str, template: str) -> None:
    jobs.welcome(user_id, email=email, template=template)


@broker.task
async def mark(name: str) -> None:
    jobs.mark(name)


@broker.task
async def noted(begun_ns: int) -> None:
    jobs.noted(begun_ns)


@broker.task
async def hang(name: str) -> None:
    jobs.hang(name)


_tasks = {"welcome": welcome, "mark": mark, "noted": noted, "hang": hang}


@asynccontextmanager
async def session():
    await broker.startup()
    yield
    await broker.shutdown()


async def bulk(items):
    if jobs.TUNED:
        await asynchronous.many([partial(one, "welcome", **item) for item in items], at_a_time=20)
    else:
        for item in items:
            await one("welcome", **item)


async def one(job, **arguments):
    await _tasks[job].kiq(**arguments)


def worker():
    command = [Path(sys.executable).with_name("taskiq"), "worker", f"{__name__}:broker", "-w", "1"]
    return [*command, "--no-parse", "--log-level", "ERROR"] if jobs.TUNED else command
