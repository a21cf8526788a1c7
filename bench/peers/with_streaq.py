"""streaQ; tuned: its bulk call, no results, more jobs at a time, no logs, uvloop."""

import sys
from pathlib import Path

from streaq import Worker

from bench.peers import asynchronous, jobs

_BATCH = 1000
if jobs.TUNED:
    asynchronous.use_uvloop()
    queue = Worker(redis_url=jobs.URL, concurrency=100, prefetch=1000, anyio_kwargs={"use_uvloop": True})
    _options = {"ttl": 0, "silent": True}
else:
    queue = Worker(redis_url=jobs.URL)
    _options = {}


@queue.task(**_options)
async def welcome(user_id: int, *, email: str, template: str) -> None:
    jobs.welcome(user_id, email=email, template=template)


@queue.task(**_options)
async def mark(name: str) -> None:
    jobs.mark(name)


@queue.task(**_options)
async def noted(begun_ns: int) -> None:
    jobs.noted(begun_ns)


@queue.task(**_options)
async def hang(name: str) -> None:
    jobs.hang(name)


_tasks = {"welcome": welcome, "mark": mark, "noted": noted, "hang": hang}


def session():
    return queue


async def bulk(items):
    if jobs.TUNED:
        for start in range(0, len(items), _BATCH):
            await queue.enqueue_many([welcome.enqueue(**item) for item in items[start : start + _BATCH]])
    else:
        for item in items:
            await welcome.enqueue(**item)


async def one(job, **arguments):
    await _tasks[job].enqueue(**arguments)


def worker():
    return [Path(sys.executable).with_name("streaq"), "run", f"{__name__}:queue"]
