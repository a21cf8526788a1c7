"""The peers: their configurations, numbers of jobs, and what each does for a job besides running it.

The statements about a peer come from reading its code, in the release that its requirements name.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Configuration:
    """One row of the table."""

    name: str
    #: Jobs per round: some seconds of work.
    jobs: int
    #: Whether a job is run again when the worker that was running it is killed.
    survives: str
    #: Whether what handlers return is kept.
    results: str
    #: What is special about the configuration.
    remark: str


@dataclass(frozen=True, slots=True)
class Peer:
    """One package; its adapter is `with_<name>.py`, its packages are in `requirements/<name>.txt`."""

    name: str
    configurations: tuple[Configuration, ...]


_OWN_SURVIVAL = "yes: a killed process at once, a killed machine after 30 s"
_RQ_SURVIVAL = "no: failed at the next maintenance; run again only with `Retry`"
_TASKIQ_SURVIVAL = "yes, after 10 min, once a new job comes"
_DRAMATIQ_SURVIVAL = "yes, after 60 s at one in 1000 of the queue's commands"
_CELERY_SURVIVAL = "no: acknowledged before it runs, unless `acks_late`"
_HUEY_SURVIVAL = "no: popped before it runs"
_ARQ_SURVIVAL = "yes, after 310 s"
_SAQ_SURVIVAL = "no: aborted by the next sweep, unless `retries` is 2 or more"
_STREAQ_SURVIVAL = "yes, after a minute"

#: In the order of the table.
PEERS = (
    Peer(
        "fastjobs",
        (
            Configuration("default", 2_000_000, _OWN_SURVIVAL, "no", "`enqueue_many`, compressed; a process per CPU"),
            Configuration("-p 1", 2_000_000, _OWN_SURVIVAL, "no", "`enqueue_many`, compressed"),
            Configuration("one by one", 20_000, _OWN_SURVIVAL, "no", "`enqueue` for each job; `-p 1`"),
        ),
    ),
    Peer(
        "streaq",
        (
            Configuration("default", 4_000, _STREAQ_SURVIVAL, "5 min", "a call for each job; 16 jobs at a time"),
            Configuration(
                "tuned", 10_000, _STREAQ_SURVIVAL, "no", "`enqueue_many`; 100 jobs at a time, 1000 prefetched; uvloop"
            ),
        ),
    ),
    Peer(
        "taskiq",
        (
            Configuration("default", 4_000, _TASKIQ_SURVIVAL, "1000 s", "a call for each job; 100 jobs at a time"),
            Configuration(
                "tuned",
                10_000,
                _TASKIQ_SURVIVAL,
                "no",
                "it has no bulk call: 20 calls at a time; orjson; finished jobs stay in the stream in both",
            ),
        ),
    ),
    Peer(
        "dramatiq",
        (
            Configuration("default", 8_000, _DRAMATIQ_SURVIVAL, "no", "a call for each job; 8 threads"),
            Configuration(
                "tuned", 8_000, _DRAMATIQ_SURVIVAL, "no", "it has no bulk call; 1 thread, 1000 prefetched, only retries"
            ),
        ),
    ),
    Peer(
        "celery",
        (
            Configuration("default", 3_000, _CELERY_SURVIVAL, "no", "`delay` for each job; prefork, `-c 1`"),
            Configuration(
                "tuned", 6_000, _CELERY_SURVIVAL, "no", "one producer, kombu's batches of 1000; solo, 1000 prefetched"
            ),
        ),
    ),
    Peer(
        "huey",
        (
            Configuration(
                "default", 10_000, _HUEY_SURVIVAL, "until read, if not None", "a call for each job; 1 thread"
            ),
            Configuration("tuned", 10_000, _HUEY_SURVIVAL, "no", "it has no bulk call; no periodic tasks, no logs"),
        ),
    ),
    Peer(
        "saq",
        (
            Configuration("default", 2_000, _SAQ_SURVIVAL, "600 s", "a call for each job; 10 jobs at a time"),
            Configuration(
                "tuned",
                4_000,
                _SAQ_SURVIVAL,
                "no",
                "it has no bulk call: 20 calls at a time; 100 jobs at a time; orjson, uvloop",
            ),
        ),
    ),
    Peer(
        "arq",
        (
            Configuration(
                "default", 1_000, _ARQ_SURVIVAL, "1 h", "a call for each job; 10 jobs at a time, polls every 0.5 s"
            ),
            Configuration(
                "tuned",
                4_000,
                _ARQ_SURVIVAL,
                "no",
                "it has no bulk call: 50 calls at a time; 100 jobs at a time; polls every 5 ms; uvloop",
            ),
        ),
    ),
    Peer(
        "rq",
        (
            Configuration("default", 200, _RQ_SURVIVAL, "500 s", "a call for each job; a fork for each job"),
            Configuration(
                "tuned", 3_000, _RQ_SURVIVAL, "no", "`enqueue_many` of 1000; `SimpleWorker`: no fork, no logs"
            ),
        ),
    ),
)
