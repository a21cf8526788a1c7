"""Jobs that left their chunk and stand where they stood before, among the jobs of the chunk that did not leave it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from fastjobs import FastJobs, Status
from fastjobs.job import JobIds
from tests.harness.queue import QueueUnderTest
from tests.harness.server import ServerProcess
from tests.store.conftest import MakeQueue

Move = Callable[[FastJobs, str], None]


@pytest.fixture
def app(server: ServerProcess, namespace: str) -> Iterator[FastJobs]:
    app = FastJobs(server.url, namespace=namespace)
    yield app
    app.close()


@pytest.fixture
def queue(make_queue: MakeQueue) -> QueueUnderTest:
    return make_queue("notes")


def enqueue(app: FastJobs, **options: float) -> JobIds:
    @app.job(name="note", queue="notes")
    def note(number: int) -> None: ...

    return note.options(**options).enqueue_many(range(1000))


def keep_priority(app: FastJobs, job_id: str) -> None:
    app.jobs.find(job_id).set_priority(0)


def away_and_back(app: FastJobs, job_id: str) -> None:
    app.jobs.find(job_id).set_priority(7)
    app.jobs.find(job_id).set_priority(0)


def keep_time(app: FastJobs, job_id: str) -> None:
    job = app.jobs.find(job_id)
    job.reschedule(at=job.due_at)


MOVES: list[tuple[Move, dict[str, float]]] = [
    (keep_priority, {}),
    (away_and_back, {}),
    (keep_priority, {"delay": 3600}),
    (keep_time, {"delay": 3600}),
]


@pytest.mark.parametrize(("move", "options"), MOVES)
@pytest.mark.parametrize("moved", [5, 10, 99, 100, 650])
def test_a_job_moved_to_the_place_of_its_chunk_hides_no_other_job(
    app: FastJobs, queue: QueueUnderTest, move: Move, options: dict[str, float], moved: int
) -> None:
    ids = enqueue(app, **options)
    status = Status.SCHEDULED if options else Status.QUEUED
    move(app, ids[moved])
    for index in (0, moved - 1, moved, moved + 1, 300, 700, 999):
        assert app.jobs.find(ids[index]).status is status, index

    app.jobs.find(ids[700]).destroy()
    app.jobs.find(ids[301]).cancel()
    assert queue.counts() == {status.value: 998, "cancelled": 1}
    queue.snapshot()

    queue.seed_due()
    expected = [job_id for job_id in ids if job_id not in (ids[700], ids[301])]
    assert queue.drain(queue.open()) == expected
    assert queue.counts() == {"cancelled": 1}


def test_jobs_that_get_the_same_new_priority_run_in_the_order_of_their_chunk(
    app: FastJobs, queue: QueueUnderTest
) -> None:
    ids = enqueue(app)
    moved = [ids[index] for index in (100, 2, 20, 999, 5, 10)]
    for job_id in moved:
        app.jobs.find(job_id).set_priority(3)
    held = queue.fetch(queue.open(), len(moved))
    assert held.refs == sorted(moved, key=ids.index)
