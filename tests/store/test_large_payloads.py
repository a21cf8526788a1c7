"""Large payloads are refused cheaply, and leases stay bounded where they are allowed."""

from __future__ import annotations

import tracemalloc

import pytest

from fastjobs import FastJobs, PayloadTooLarge
from tests.harness.queue import QueueUnderTest, pack
from tests.harness.server import ServerProcess

_MIB = 1 << 20


@pytest.fixture
def app(server: ServerProcess, namespace: str):
    made = FastJobs(server.url, namespace=namespace)
    yield made
    made.close()


def test_a_hundred_megabytes_are_refused_and_nothing_is_stored(app, queue):
    """Fault C7."""
    take = app.job(name="take")(print)
    text = "x" * (100 * _MIB)
    with pytest.raises(PayloadTooLarge):
        take.enqueue(text)
    with pytest.raises(PayloadTooLarge) as refused:
        take.enqueue_many(["small", text, "small"])
    assert refused.value.index == 1
    assert sum(queue.counts().values()) == len(refused.value.enqueued)


def test_refusing_a_large_payload_takes_little_memory(app):
    """Fault C7."""
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


def test_a_lease_of_large_payloads_stays_bounded_where_they_are_allowed(make_queue):
    """Fault C7."""
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
