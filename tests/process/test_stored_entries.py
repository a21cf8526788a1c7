"""Things stored wrongly, and a worker: whatever it meets, every job that is stored as it should be runs, once."""

from __future__ import annotations

import random
import re
from collections import Counter
from datetime import timedelta

import pytest

from fastjobs.operating.fsck import Fsck, check_queue_list
from fastjobs.store.keys import queues_key, workers_key
from tests.harness.damage import damage, fuzz_seconds
from tests.harness.queue import QueueUnderTest
from tests.harness.worker import Lab, troubles

#: Things damaged per run.
_DAMAGES = 40
#: Seeds in continuous integration; `make fuzz-stored` tries more.
_SEEDS = range(max(4, int(fuzz_seconds(0) / 5)))


def _enqueue(lab: Lab, name: str) -> tuple[list[str], list[str]]:
    """Enqueues jobs in chunks and alone, waiting and delayed; returns their keys and ids."""
    note = lab.jobs.note
    bulk = [f"{name}-bulk-{index}" for index in range(30)]
    later = [f"{name}-later-{index}" for index in range(6)]
    alone = [f"{name}-alone-{index}" for index in range(12)]
    ids = [*note.enqueue_many(bulk)]
    ids += note.options(delay=0.3).enqueue_many(later)
    ids += [note.options(priority=index % 3).enqueue(key).id for index, key in enumerate(alone)]
    return [*bulk, *later, *alone], ids


@pytest.mark.parametrize("seed", _SEEDS)
def test_damaged_entries_stop_neither_their_neighbours_nor_the_worker(lab: Lab, seed: int) -> None:
    """Fault C28."""
    rng = random.Random(seed)
    queue = QueueUnderTest(lab.server.url, lab.namespace)
    _enqueue(lab, "victim")
    held = queue.fetch(queue.open(), 20)
    chunk_id = held.refs[0].partition("~")[0]
    if "~" in held.refs[0]:
        first = int(held.refs[0].partition("~")[2][:3])
        queue.ack(held, [], [queue.outcome(chunk_id, first, "failed"), queue.outcome(chunk_id, first + 1, "retrying")])
    queue.seed_expired(held.session)
    for number in range(4):
        lab.jobs.note.every(timedelta(seconds=1), f"run-{number}", id=f"victim{number}").store()
    lab.jobs.note.every(0.3, "tick", id="whole").store()
    keys, ids = _enqueue(lab, "neighbour")
    whole = {b"whole", *(one.partition("~")[0].encode() for one in ids)}
    for _ in range(_DAMAGES):
        damage(rng, queue, lambda text: any(chunk_id in text for chunk_id in whole))
    lab.redis.sadd(queues_key(lab.namespace), b"\xff\x00", "default#x", "a b", "")
    lab.redis.hset(workers_key(lab.namespace), b"\xff", b"\xff")
    worker = lab.worker("-p", "2").wait_ready(2)
    lab.wait_ended(*keys)
    lab.wait(lambda: lab.ledger.keys("END").count("tick") > 1, "the recurring job goes on")
    # The same while the worker is at work. A live session that is damaged is lost, and its process ends.
    whole.update(name for name in queue.raw.zrange(queue.keys.sessions, 0, -1) if len(name) == 22)
    for name in ("again", "last"):
        _enqueue(lab, f"{name}-victim")
        more, ids = _enqueue(lab, name)
        keys += more
        whole.update(one.partition("~")[0].encode() for one in ids)
        for _ in range(_DAMAGES):
            damage(rng, queue, lambda text: any(chunk_id in text for chunk_id in whole))
    lab.wait_ended(*keys)
    assert worker.process.poll() is None
    assert not troubles(worker.log)
    worker.stop()
    runs = Counter(lab.ledger.keys("START"))
    assert {key: runs[key] for key in keys} == dict.fromkeys(keys, 1)
    listed = check_queue_list(queue.store, fix=True)
    assert [(found.finding.name, found.jobs) for found in listed.findings] == [("QUEUE_NAME_INVALID", 0)]
    assert listed.changes == {"queues": 4}
    assert check_queue_list(queue.store, fix=True).status == "clean"
    checker = Fsck(lambda: queue.store, queue.name)
    assert checker.repair().status in ("clean", "repaired")
    assert checker.repair().status == "clean"
    queue.close()


def test_what_is_set_aside_is_reported_once_by_the_log_and_once_by_fsck(lab: Lab) -> None:
    """Fault C28."""
    queue = QueueUnderTest(lab.server.url, lab.namespace)
    queue.raw.zadd(queue.keys.ready, {"foreign": -1, "stranger": 0})
    queue.raw.zadd(queue.keys.scheduled, {"foreign": 1})
    worker = lab.worker().wait_ready()
    keys, _ = _enqueue(lab, "neighbour")
    lab.wait_ended(*keys)
    worker.wait_for_log("entries set aside, nobody can read them.*entries=3")
    lab.wait(lambda: "set_aside" not in _repaired_stats(queue), "it is repaired")
    lab.jobs.note.enqueue("last")
    lab.wait_ended("last")
    worker.stop()
    assert len(re.findall("entries set aside", worker.log)) == 1
    queue.close()


def _repaired_stats(queue: QueueUnderTest) -> list[str]:
    Fsck(lambda: queue.store, queue.name).repair()
    return [name.decode() for name in queue.raw.hkeys(queue.keys.stats)]
