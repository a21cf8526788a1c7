"""Queues come on the list when something is enqueued to them, and go when nobody uses them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from fastjobs import FastJobs, JobType, errors
from fastjobs.store.keys import queues_key
from tests.harness.queue import QueueUnderTest
from tests.harness.server import ServerProcess
from tests.harness.waiting import wait_until

NAME = "photos"

Work = JobType[..., None]


@pytest.fixture
def photos(server: ServerProcess, namespace: str) -> QueueUnderTest:
    return QueueUnderTest(server.url, namespace, NAME)


@pytest.fixture
def app(server: ServerProcess, namespace: str) -> Iterator[FastJobs]:
    app = FastJobs(server.url, namespace=namespace)
    yield app
    app.close()


def work(app: FastJobs) -> Work:
    @app.job(name="work")
    def handler(*_: object) -> None:
        """Never runs here."""

    return handler


def forget_senders(queue: QueueUnderTest) -> None:
    """As when nobody has enqueued for an hour."""
    for sender in queue.raw.hkeys(queue.keys.senders):
        queue.raw.hset(queue.keys.senders, sender, f"{queue.server_ms() - 1} 1")


def run_all(queue: QueueUnderTest) -> None:
    session = queue.open()
    queue.drain(session)
    queue.close_session(session)
    queue.raw.delete(queue.keys.finished, queue.keys.finished_log)


def test_an_unused_queue_is_forgotten_and_comes_back_when_it_is_used(app: FastJobs, photos: QueueUnderTest) -> None:
    kind = work(app)
    kind.options(queue=NAME).enqueue()
    kind.options(queue="other").enqueue()
    assert app.queue(NAME).clear() == 1
    forget_senders(photos)
    app.queue(NAME).forget()
    assert app.jobs.queues() == ["other"]
    assert not list(photos.raw.scan_iter(f"*{photos.config.namespace}:{NAME}:*"))
    app.queue(NAME).forget()
    # The producer has listed the queue a moment ago. It does so again, because the queue is empty.
    job = kind.options(queue=NAME).enqueue()
    assert app.jobs.queues() == ["other", NAME]
    assert app.jobs.find(job.id).queue == NAME
    app.queue(NAME).clear()
    forget_senders(photos)
    app.queue(NAME).forget()
    kind.options(queue=NAME).enqueue_many(range(1500))
    assert app.jobs.queues() == ["other", NAME]


def test_a_database_that_was_flushed_lists_what_is_enqueued_next(own_server: ServerProcess, namespace: str) -> None:
    app = FastJobs(own_server.url, namespace=namespace)
    kind = work(app)
    with own_server.client() as raw:
        for delay_s in (0, 60):
            kind.options(delay=delay_s).enqueue()
            raw.flushall()
            job = kind.options(delay=delay_s).enqueue()
            assert app.jobs.find(job.id).id == job.id
            assert sum(app.jobs.counts()["default"].values()) == 1
    app.close()


@pytest.fixture
def own_server() -> Iterator[ServerProcess]:
    with ServerProcess() as server:
        yield server


@pytest.mark.parametrize(
    ("kept_by", "reason"),
    [
        ("chunks", "has jobs"),
        ("jobs", "has jobs"),
        ("finished_log", "has jobs"),
        ("sessions", "workers serve it"),
        ("recurring", "recurring jobs"),
        ("senders", "a producer used it"),
        ("paused", "paused"),
    ],
)
def test_a_queue_that_is_in_use_is_not_forgotten(
    app: FastJobs, photos: QueueUnderTest, kept_by: str, reason: str
) -> None:
    kind = work(app)
    if kept_by == "chunks":
        kind.options(queue=NAME).enqueue()
    elif kept_by == "jobs":
        photos.seed_failed()
    elif kept_by == "finished_log":
        photos.seed_finished(3)
    elif kept_by == "sessions":
        photos.open()
    elif kept_by == "recurring":
        kind.options(queue=NAME).every(60, id="tick").store()
    elif kept_by == "senders":
        kind.options(queue=NAME).enqueue()
        app.queue(NAME).clear()
    else:
        app.queue(NAME).pause()
    if kept_by != "senders":
        photos.raw.delete(photos.keys.senders)
    photos.store.batch().list_partition(NAME).run()
    before = photos.stored()
    with pytest.raises(errors.QueueInUse, match=f"queue 'photos' is in use: .*{reason}") as caught:
        app.queue(NAME).forget()
    assert (caught.value.queue, caught.value.partition) == (NAME, NAME)
    assert photos.stored() == before
    assert app.jobs.queues() == [NAME]


def test_no_job_is_out_of_sight_however_often_its_queue_is_forgotten_meanwhile(
    app: FastJobs, photos: QueueUnderTest
) -> None:
    kind = work(app).options(queue=NAME)
    stop = threading.Event()
    forgotten: list[bool] = []

    def forget() -> None:
        while not stop.is_set():
            try:
                app.queue(NAME).forget()
                forgotten.append(True)
            except errors.QueueInUse:
                continue

    forgetter = threading.Thread(target=forget)
    forgetter.start()
    try:
        for _ in range(300):
            job = kind.enqueue()
            # The other thread takes it off the list, looks again, and lists it.
            wait_until(lambda: NAME in app.jobs.queues(), 10, f"{job.id} is in sight")
            run_all(photos)
            forget_senders(photos)
    finally:
        stop.set()
        forgetter.join()
    assert forgotten


def test_a_listed_name_of_which_nothing_is_stored_is_forgotten(app: FastJobs, photos: QueueUnderTest) -> None:
    photos.raw.sadd(queues_key(photos.config.namespace), NAME)
    app.queue(NAME).forget()
    assert app.jobs.queues() == []
