"""Each script through the store, on a real server, round trips included. A chunk has a thousand jobs."""

from __future__ import annotations

import itertools

import pytest

from bench.driver import CHUNK_JOBS
from fastjobs._core import new_id
from fastjobs.config import Config
from fastjobs.model.origin import Origin
from fastjobs.model.outcome import Outcome, Run
from fastjobs.model.refs import JobAddress
from fastjobs.server.connection import Client
from fastjobs.store.replies import Stored
from fastjobs.store.store import Store

QUEUE = "micro"


@pytest.fixture
def store(server):
    """A store in its own namespace."""
    store = Store(Client(server.url), Config(url=server.url, namespace=new_id()))
    yield store
    store.client.close()


@pytest.fixture
def session(store):
    """An open session."""
    session = new_id()
    assert store.batch().open(QUEUE, session).run()
    return session


@pytest.fixture
def lease(store, session, packed):
    """Returns a function that enqueues a chunk, leases one, and returns (fence, chunk id)."""
    requests = itertools.count(1)

    def take():
        store.batch().enqueue(QUEUE, new_id(), CHUNK_JOBS, 0, packed, Origin(new_id(), 1, has_chosen_id=False)).run()
        leased = store.batch().fetch(QUEUE, session, next(requests), CHUNK_JOBS).run()
        (span,) = leased.spans
        return leased.fence, span.ref.partition("~")[0]

    return take


def test_enqueue_a_chunk(benchmark, store, packed):
    def enqueue():
        return (
            store.batch()
            .enqueue(QUEUE, new_id(), CHUNK_JOBS, 0, packed, Origin(new_id(), 1, has_chosen_id=False))
            .run()
        )

    assert benchmark.pedantic(enqueue, rounds=500, warmup_rounds=20) is Stored.CREATED


def test_enqueue_a_chunk_that_is_stored(benchmark, store, packed):
    chunk_id = new_id()

    def enqueue():
        return (
            store.batch()
            .enqueue(QUEUE, chunk_id, CHUNK_JOBS, 0, packed, Origin(new_id(), 1, has_chosen_id=False))
            .run()
        )

    enqueue()
    assert benchmark(enqueue) is Stored.EXISTING


def test_fetch_a_chunk(benchmark, store, session, packed):
    requests = itertools.count(1)

    def fetch():
        return store.batch().fetch(QUEUE, session, next(requests), CHUNK_JOBS).run()

    def enqueue():
        store.batch().enqueue(QUEUE, new_id(), CHUNK_JOBS, 0, packed, Origin(new_id(), 1, has_chosen_id=False)).run()

    leased = benchmark.pedantic(fetch, setup=enqueue, rounds=300, warmup_rounds=10)
    assert leased.fence > 0


def test_fetch_from_an_empty_queue(benchmark, store, session):
    requests = itertools.count(1)
    leased = benchmark(lambda: store.batch().fetch(QUEUE, session, next(requests), 1).run())
    assert leased.fence == 0


def test_ack_a_chunk(benchmark, store, session, lease):
    head, columns = bytes(8) + b"\x06worker", bytes(8 * CHUNK_JOBS)

    def ack(fence, chunk_id):
        return (
            store.batch()
            .ack(QUEUE, session, fence, [Run(chunk_id, CHUNK_JOBS, 0, CHUNK_JOBS, head, columns, 1000)])
            .run()
        )

    assert benchmark.pedantic(ack, setup=lambda: (lease(), {}), rounds=300, warmup_rounds=10) == CHUNK_JOBS


def test_ack_a_hundred_failures(benchmark, store, session, lease):
    record = b'{"id":"x","type":"welcome","payload":[{}],"errors":[{"type":"ValueError","message":"no such user"}]}'

    def ack(fence, chunk_id):
        outcomes = [Outcome(chunk_id, CHUNK_JOBS, index, "failed", 0, 0, 0, "welcome", record) for index in range(100)]
        return store.batch().ack(QUEUE, session, fence, [], outcomes).run()

    assert benchmark.pedantic(ack, setup=lambda: (lease(), {}), rounds=100, warmup_rounds=5) == 100


def test_release_a_chunk(benchmark, store, session, lease):
    def release(fence, chunk_id):
        return store.batch().release(QUEUE, session, fence, [f"{chunk_id}~000+{CHUNK_JOBS}"]).run()

    assert benchmark.pedantic(release, setup=lambda: (lease(), {}), rounds=300, warmup_rounds=10) == CHUNK_JOBS


def test_renew_a_session(benchmark, store, session):
    assert benchmark(lambda: store.batch().renew(QUEUE, [session]).run()).alive == [True]


def test_reclaim_nothing(benchmark, store, session):
    reclaimed = benchmark(lambda: store.batch().reclaim(QUEUE).run())
    assert reclaimed.jobs == 0


def test_audit_a_session(benchmark, store, session, lease):
    fence, _ = lease()
    assert benchmark(lambda: store.batch().audit(QUEUE, session, 1, [fence]).run()) == 0


def test_find_a_job(benchmark, store, packed):
    chunk_id = new_id()
    store.batch().enqueue(QUEUE, chunk_id, CHUNK_JOBS, 0, packed, Origin(new_id(), 1, has_chosen_id=False)).run()
    address = JobAddress(chunk_id, 500, alone=False)
    found = benchmark(lambda: store.batch().find(QUEUE, address).run())
    assert found.status == "queued"
