"""Faults of input and data, by their number in tests/faults.md: those that no other test is about."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from fastjobs import FastJobs, PayloadTooLarge
from tests.harness.queue import QueueUnderTest, pack
from tests.harness.server import ServerProcess
from tests.harness.worker import Lab

_MIB = 1 << 20


@pytest.fixture
def app(server: ServerProcess, namespace: str):
    made = FastJobs(server.url, namespace=namespace)
    yield made
    made.close()


@pytest.fixture
def lab(server: ServerProcess, namespace: str, tmp_path):
    made = Lab(server, namespace, tmp_path)
    yield made
    made.close()


def test_c7_a_hundred_megabytes_are_refused_and_nothing_is_stored(app, queue):
    take = app.job(name="take")(print)
    text = "x" * (100 * _MIB)
    with pytest.raises(PayloadTooLarge):
        take.enqueue(text)
    with pytest.raises(PayloadTooLarge) as refused:
        take.enqueue_many(["small", text, "small"])
    assert refused.value.index == 1
    assert sum(queue.counts().values()) == len(refused.value.enqueued)


def test_c7_refusing_a_large_payload_takes_little_memory(app):
    take = app.job(name="take")(print)
    items = [1] * (10 * _MIB)
    tracemalloc.start()
    try:
        with pytest.raises(PayloadTooLarge):
            take.enqueue(items)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 8 * _MIB


def test_c7_a_lease_of_large_payloads_stays_bounded_where_they_are_allowed(make_queue):
    queue: QueueUnderTest = make_queue(max_payload_bytes=16 * _MIB)
    for _ in range(10):
        queue.enqueue(blob=pack(1, payload="x" * 1_000_000))
    session = queue.open()
    held = queue.fetch(session, 100)
    assert 1 <= len(held.refs) < 10
    seen = len(held.refs)
    while held.fence:
        queue.finish(held)
        held = queue.fetch(session, 100)
        seen += len(held.refs)
    assert seen == 10


def test_c23_a_storm_of_retries_does_not_starve_others(lab: Lab):
    lab.jobs.fail_number.options(retries=1000, retry_delay=0.05).enqueue_many(
        (f"storm-{key}", 1000) for key in range(300)
    )
    worker = lab.worker("-c", "2")
    lab.wait_started(*(f"storm-{key}" for key in (0, 299)))
    began = time.monotonic()
    lab.jobs.note.enqueue("other")
    lab.wait_ended("other")
    # By its place in line it is behind one round of the storm at most, not behind a thousand.
    assert lab.ledger.keys("START").index("other") < 300 * 40
    assert time.monotonic() - began < 25
    assert worker.stop() == 0


BREEDING_APP = """
from fastjobs import FastJobs
from tests.apps.handlers import note as write
app = FastJobs()
@app.job
def breed(generation):
    write(f"generation-{generation}")
    if generation < 200:
        breed.enqueue(generation + 1)
@app.job
def bear(number):
    note.enqueue_many(f"child-{child}" for child in range(number))
@app.job
def note(key):
    write(key)
"""


def test_c24_jobs_that_enqueue_themselves_and_thousands_of_others_do_so_once_each(lab: Lab):
    (lab.directory / "breeding.py").write_text(BREEDING_APP)
    outside = FastJobs(lab.server.url, namespace=lab.namespace)
    outside.job(name="breed")(print).enqueue(0)
    outside.job(name="bear")(print).enqueue(3000)
    worker = lab.worker("--burst", "-c", "2", app="breeding.py")
    assert worker.wait() == 0, worker.log
    counts = lab.ledger.counts("END")
    assert counts == {f"generation-{number}": 1 for number in range(201)} | {f"child-{key}": 1 for key in range(3000)}
    outside.close()
