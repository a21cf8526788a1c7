"""What a newer release has written is neither destroyed nor cut down by this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import orjson
import pytest

from fastjobs import FastJobs, Job, JobType, Status
from fastjobs.errors import NewerFormat
from fastjobs.model.stored import StoredRecord
from tests.harness.queue import QueueUnderTest
from tests.harness.server import ServerProcess
from tests.store.conftest import MakeQueue

CHANGES: dict[str, Callable[[Job], object]] = {
    "set_priority": lambda job: job.set_priority(3),
    "reschedule": lambda job: job.reschedule(),
    "cancel": lambda job: job.cancel(),
}


@pytest.fixture
def app(server: ServerProcess, namespace: str) -> Iterator[FastJobs]:
    app = FastJobs(server.url, namespace=namespace)
    yield app
    app.close()


@pytest.fixture
def note(app: FastJobs) -> JobType:
    @app.job(name="note", queue="notes")
    def note(number: int) -> None: ...

    return note


@pytest.fixture
def queue(make_queue: MakeQueue) -> QueueUnderTest:
    return make_queue("notes")


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("n", [1, 3])
def test_a_job_in_a_chunk_of_a_newer_format_is_not_changed(
    note: JobType, app: FastJobs, queue: QueueUnderTest, change: str, n: int
) -> None:
    ids = note.enqueue_many(range(n))
    ((chunk_id, stored),) = queue.raw.hgetall(queue.keys.chunks).items()
    queue.raw.hset(queue.keys.chunks, chunk_id, stored.replace(b"FJ\x01", b"FJ\x02", 1))
    before = queue.stored()
    job = app.jobs.find(ids[-1])
    assert (job.status, job.args) == (Status.QUEUED, None)
    with pytest.raises(NewerFormat, match="cannot be changed here"):
        CHANGES[change](job)
    assert queue.stored() == before
    job.destroy()
    assert queue.counts() == ({"queued": n - 1} if n > 1 else {})
    if n > 1:
        queue.raw.hset(queue.keys.chunks, chunk_id, stored)


def detach(note: JobType, queue: QueueUnderTest, job_id: str) -> tuple[bytes, StoredRecord]:
    """Enqueues a job that has a record; returns its ref and its record."""
    note.options(job_id=job_id, delay=3600).enqueue(1).set_priority(1)
    ((ref, stored),) = queue.raw.hgetall(queue.keys.jobs).items()
    return ref, StoredRecord.parse(stored)


@pytest.mark.parametrize("change", CHANGES)
def test_a_job_with_a_record_of_a_newer_format_is_not_changed(
    note: JobType, app: FastJobs, queue: QueueUnderTest, change: str
) -> None:
    ref, record = detach(note, queue, "mine")
    body = orjson.dumps({**orjson.loads(record.body), "v": 2, "payload": {"of": "another kind"}})
    queue.raw.hset(queue.keys.jobs, ref, record._replace(body=body).pack())
    before = queue.stored()
    with pytest.raises(NewerFormat, match="cannot be changed here"):
        CHANGES[change](app.jobs.find("mine"))
    assert queue.stored() == before
    app.jobs.find("mine").destroy()


def test_words_and_fields_of_a_newer_release_are_kept_when_a_job_is_changed(
    note: JobType, app: FastJobs, queue: QueueUnderTest
) -> None:
    ref, record = detach(note, queue, "mine")
    newer = {"errors": [{"type": "E", "message": "no", "cause": "because"}], "progress": [1, 2]}
    body = orjson.dumps({**orjson.loads(record.body), **newer})
    queue.raw.hset(queue.keys.jobs, ref, record._replace(body=body, more=("lane:7", "x")).pack())
    app.jobs.find("mine").reschedule(delay=60)
    app.jobs.find("mine").set_priority(9)
    app.jobs.find("mine").cancel()
    changed = StoredRecord.parse(queue.raw.hget(queue.keys.jobs, ref))
    assert (changed.status, changed.more) == ("cancelled", ("lane:7", "x"))
    kept = orjson.loads(changed.body)
    assert kept["progress"] == [1, 2]
    assert kept["errors"][0]["cause"] == "because"


@pytest.mark.parametrize("postponed", ["0 ", "2 1900000000000"])
def test_words_of_a_newer_release_are_kept_in_marks(queue: QueueUnderTest, postponed: str) -> None:
    held = queue.seed_executing(3)
    (ref,) = held.refs
    chunk_id = ref.partition("~")[0]
    queue.raw.hset(queue.keys.marks, chunk_id, f"0 1 0 0 - {postponed} limit:4 x")
    assert queue.ack(held, [queue.run(chunk_id, 3, 0, 1, keep_ms=1000)]) == 1
    assert queue.raw.hget(queue.keys.marks, chunk_id).decode() == f"1 1 1 1000 - {postponed} limit:4 x"
    queue.release(held)
    assert len(queue.drain(queue.open())) == 2


def test_words_of_a_newer_release_in_the_line_of_a_chunk_are_passed_over(queue: QueueUnderTest) -> None:
    chunk_id = queue.enqueue(3)
    stored = queue.raw.hget(queue.keys.chunks, chunk_id)
    queue.raw.hset(queue.keys.chunks, chunk_id, stored.replace(b"\n", b" lane:7 x\n", 1))
    assert queue.status(chunk_id, 1) == "queued"
    assert queue.drain(queue.open()) == [f"{chunk_id}~{index:03d}" for index in range(3)]
