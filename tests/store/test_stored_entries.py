"""One thing stored wrongly: no script and no reading call fails because of it, and fsck puts it right once."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from fastjobs import FastJobs, Status, errors
from fastjobs._core import ChunkWriter, new_id
from fastjobs.model.definition import Definition
from fastjobs.model.refs import JobAddress, address
from fastjobs.model.schedules import Every
from fastjobs.operating.fsck import Fsck
from fastjobs.store.keys import QUEUE_KEYS
from tests.harness.damage import Damage, damage, fuzz_seconds
from tests.harness.queue import QueueUnderTest, record
from tests.harness.server import ServerProcess
from tests.store.test_fsck import fill

#: What a call may raise about the very thing that is damaged.
ALLOWED = (
    *(errors.JobNotFound, errors.JobStateError, errors.JobIdConflict, errors.RecurringNotFound),
    *(errors.CorruptChunk, errors.NewerFormat),
)
_CASES_S = 25.0
#: FASTJOBS_TEST_FUZZ_SEED repeats one case.
_ONE_SEED = os.environ.get("FASTJOBS_TEST_FUZZ_SEED")


class Entries:
    """A queue with jobs in every status, which can be put back as it was."""

    def __init__(self, server: ServerProcess, namespace: str) -> None:
        self.queue = QueueUnderTest(server.url, namespace)
        self.app = FastJobs(server.url, namespace=namespace, retry_budget_s=1)
        fill(self.queue)
        self.definition = Definition(id="tick", schedule=Every(1000), type="work", payload=[{}])
        for name in ("tick", "tock"):
            definition = Definition(id=name, schedule=Every(1000), type="work", payload=[{}])
            self.queue.store.batch().define_recurring(self.queue.name, definition, self.queue.server_ms() - 10).run()
        self.held = self.queue.fetch("session1", 3)
        self.queue.store.batch().list_partition(self.queue.name).run()
        raw, keys = self.queue.raw, self.queue.keys
        self._dumps = {name: raw.dump(getattr(keys, name)) for name in QUEUE_KEYS}

    def restore(self) -> None:
        pipe = self.queue.raw.pipeline(transaction=False)
        for name, dump in self._dumps.items():
            pipe.delete(getattr(self.queue.keys, name))
            if dump is not None:
                pipe.restore(getattr(self.queue.keys, name), 0, dump)
        pipe.execute()

    def addresses(self) -> list[JobAddress]:
        raw, keys = self.queue.raw, self.queue.keys
        ids = [name.decode("latin-1") for key in (keys.chunks, keys.jobs) for name in raw.hkeys(key)]
        found = []
        for one in sorted(ids):
            try:
                where = address(one)
            except errors.JobNotFound:
                continue
            found += [where, where._replace(alone=False)]
        return found

    def close(self) -> None:
        self.app.close()
        self.queue.store.client.close()
        self.queue.raw.close()


def calls(entries: Entries, rng: random.Random) -> list[tuple[str, Callable[[], object]]]:
    """Calls of every script, and of everything in the library that reads."""
    queue, app, held = entries.queue, entries.app, entries.held

    def call(script: str, *args: Any, **options: Any) -> Callable[[], object]:
        return lambda: getattr(queue.store.batch(), script)(queue.name, *args, **options).run()

    def about(job: JobAddress) -> list[tuple[str, Callable[[], object]]]:
        return [
            ("find", call("find", job)),
            ("prioritize", call("prioritize", job, new_id(), 5, b"", "work", record())),
            (
                "reschedule",
                call("reschedule", job, new_id(), list(map(str, Status)), b"", "work", record(), delay_ms=1000),
            ),
            ("cancel", call("cancel", job, new_id(), "work", record())),
            ("destroy", call("destroy", job)),
        ]

    def listing(status: Status) -> object:
        jobs = app.jobs.list(status, queue=queue.name, limit=7).jobs
        app.jobs.list(status, queue=queue.name, limit=1000, reverse=True)
        return [repr(job) for job in jobs]

    def operate(status: Status) -> object:
        for job in app.jobs.list(status, queue=queue.name, limit=3).jobs:
            for act in (job.refresh, partial(job.set_priority, 3), job.reschedule, job.cancel):
                try:
                    act()
                except ALLOWED:
                    continue
        return None

    run = entries.definition.pack(ChunkWriter(), 0)
    tick = entries.definition
    made: list[tuple[str, Callable[[], object]]] = [
        ("enqueue", lambda: queue.try_enqueue(2, chunk_id=new_id())),
        ("enqueue", lambda: queue.try_enqueue(1, chunk_id=new_id(), delay_ms=5)),
        ("open", lambda: queue.open(new_id())),
        ("renew", lambda: queue.renew("session1", "session2")),
        ("fetch", lambda: queue.fetch("session1", 3)),
        ("fetch", lambda: queue.fetch("session1", 3, request=held.lease.fence)),
        ("fetch", lambda: queue.fetch("session1", 500)),
        ("fetch", lambda: queue.fetch("session1", 500)),
        ("release", lambda: queue.release(held, held.refs[:1])),
        ("postpone", lambda: queue.postpone(held, 1000, held.refs[1:2])),
        ("ack", lambda: _ack(queue, held, rng)),
        ("audit", lambda: queue.audit("session1")),
        ("reclaim", lambda: (queue.seed_expired("session1"), queue.reclaim(), queue.reclaim())),
        ("close", lambda: queue.close_session("session1")),
        ("trim", call("trim")),
        ("page", lambda: [app.queue(queue.name).latency(), *map(listing, Status)]),
        ("operate", lambda: [operate(status) for status in Status]),
        ("counts", lambda: (app.jobs.counts(), app.jobs.partitions())),
        ("survey", lambda: Fsck(lambda: queue.store, queue.name).check()),
        ("recurring", lambda: [repr(one) for one in app.recurring.list()]),
        ("recur", call("recur", tick, queue.server_ms() + 1000, run, [tick.due_ms])),
        ("run_recurring", call("run_recurring", tick, run, "tick:now")),
        ("pause_recurring", call("pause_recurring", "tick")),
        ("resume_recurring", call("resume_recurring", tick, queue.server_ms())),
        ("define_recurring", call("define_recurring", tick, queue.server_ms())),
    ]
    jobs = entries.addresses()
    for job in rng.sample(jobs, min(len(jobs), 5)):
        made += about(job)
    rng.shuffle(made)
    last = [("clear", call("clear")), ("cancel_recurring", call("cancel_recurring", "tick"))]
    return [*made, *last]


def _ack(queue: QueueUnderTest, held: Any, rng: random.Random) -> object:
    (*_, last) = held.refs
    outcomes = []
    if "~" in last and "+" in last:
        chunk_id, _, first = last.partition("~")
        outcomes = [queue.outcome(chunk_id, int(first[:3]), rng.choice(("failed", "retrying", "finished")), n=12)]
    runs, rest = [], held.refs[:-1]
    for ref in rest:
        if "~" not in ref:
            runs.append(queue.run(ref, 1, 0, 1, keep_ms=1000))
    return queue.ack(held, runs, outcomes)


@pytest.fixture
def entries(server: ServerProcess, namespace: str) -> Iterator[Entries]:
    made = Entries(server, namespace)
    yield made
    made.close()


def check_case(entries: Entries, seed: int) -> list[str]:
    """Damages one thing and makes all calls; returns what went wrong."""
    rng = random.Random(seed)
    entries.restore()
    done = damage(rng, entries.queue)
    wrong = []
    for name, call in calls(entries, rng):
        try:
            call()
        except ALLOWED:
            pass
        except Exception as error:
            wrong.append(f"seed {seed}: {done}\n    {name}: {type(error).__name__}: {str(error)[:300]}")
    return wrong + _repaired(entries, seed, done)


def _repaired(entries: Entries, seed: int, done: Damage) -> list[str]:
    try:
        checker = Fsck(lambda: entries.queue.store, entries.queue.name)
        first, second = checker.repair(), checker.repair()
    except Exception as error:
        return [f"seed {seed}: {done}\n    fsck: {type(error).__name__}: {str(error)[:300]}"]
    if first.status not in ("clean", "repaired") or second.status != "clean":
        return [f"seed {seed}: {done}\n    fsck: {first.status}, then {second}"]
    return []


@pytest.mark.timeout(0)
def test_no_call_fails_because_of_one_bad_entry_and_fsck_repairs_it_once(entries: Entries) -> None:
    """Fault C28."""
    if _ONE_SEED is not None:
        assert not check_case(entries, int(_ONE_SEED))
        return
    wrong: list[str] = []
    until, seed = time.monotonic() + fuzz_seconds(_CASES_S), 0
    while time.monotonic() < until and len(wrong) < 40:
        wrong += check_case(entries, seed)
        seed += 1
    assert not wrong, f"{len(wrong)} of {seed} cases:\n" + "\n".join(wrong)


def test_foreign_members_at_the_head_hold_up_nothing(queue: QueueUnderTest) -> None:
    """Fault C28."""
    chunk_id = queue.enqueue(3)
    queue.enqueue(2, delay_ms=60_000)
    queue.seed_due()
    for key in (queue.keys.ready, queue.keys.scheduled):
        queue.raw.zadd(key, {f"foreign {number}": -1e300 for number in range(600)})
    queue.raw.zadd(queue.keys.ready, {f"{0:013x}{chunk_id}~000+99999": -1e300})
    session = queue.open()
    ran = [job for _ in range(5) for job in queue.drain(session)]
    assert len(ran) == 5
    checker = Fsck(lambda: queue.store, queue.name)
    assert {found.finding.name for found in checker.repair().findings} == {"READY_UNREADABLE", "SCHEDULED_UNREADABLE"}
    assert checker.repair().status == "clean"
