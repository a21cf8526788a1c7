"""Bulks spread over time, single enqueues gathered in a buffer."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from fastjobs import ConfigError, EnqueueUnknown, FastJobs, JobType, NotEnqueued, PayloadError, Status
from tests.harness.proxy import Behaviour, Proxy
from tests.harness.server import ServerProcess
from tests.harness.waiting import wait_until


@pytest.fixture
def app(server: ServerProcess, namespace: str) -> Iterator[FastJobs]:
    app = FastJobs(server.url, namespace=namespace, retry_budget_s=0.3, socket_timeout_s=5)
    yield app
    app.close()


@pytest.fixture
def note(app: FastJobs) -> JobType:
    @app.job(name="note", queue="notes")
    def note(number: int) -> None: ...

    return note


def due_times(app: FastJobs) -> list[datetime]:
    jobs = app.jobs.list(Status.SCHEDULED, queue="notes", limit=1000).jobs
    return [job.due_at for job in jobs if job.due_at is not None]


# Spread.


def test_a_bulk_is_spread_evenly_over_the_interval(app: FastJobs, note: JobType) -> None:
    ids = note.options(at=datetime(2090, 1, 1, tzinfo=UTC)).enqueue_many(range(100), spread=timedelta(seconds=100))
    assert len(ids) == len(set(ids)) == 100
    offsets = [(due - datetime(2090, 1, 1, tzinfo=UTC)).total_seconds() for due in due_times(app)]
    assert offsets == [float(number) for number in range(100)]


def test_a_large_bulk_is_spread_in_chunks_not_job_by_job(app: FastJobs, note: JobType) -> None:
    note.options(at=datetime(2090, 1, 1, tzinfo=UTC)).enqueue_many(range(1000), spread=1)
    dues = due_times(app)
    assert len(dues) == 1000
    assert len(set(dues)) == 20
    assert max(dues) < datetime(2090, 1, 1, 0, 0, 1, tzinfo=UTC)


def test_a_generator_is_read_whole_before_it_is_spread(app: FastJobs, note: JobType) -> None:
    note.options(delay=1000).enqueue_many((number for number in range(10)), spread=10)
    dues = due_times(app)
    assert dues == sorted(set(dues))
    assert dues[-1] - dues[0] >= timedelta(seconds=9)
    assert app.jobs.count(Status.SCHEDULED, queue="notes") == 10


def test_spreading_nothing_is_nothing(note: JobType) -> None:
    assert list(note.enqueue_many([], spread=10)) == []


@pytest.mark.parametrize("spread", [-1, float("nan"), "1"])
def test_a_spread_that_is_no_time_is_refused(note: JobType, spread: object) -> None:
    with pytest.raises(ConfigError, match="spread"):
        note.enqueue_many([1], spread=spread)  # type: ignore[arg-type]


# Each call with a time of its own.


def test_each_call_of_a_mix_can_have_a_time_of_its_own(app: FastJobs, note: JobType) -> None:
    ids = app.enqueue_many(note.options(delay=1000 + 10 * number).call(number) for number in range(100))
    assert len(set(ids)) == 100
    found = [app.jobs.find(ids[number]) for number in (0, 50, 99)]
    assert [job.args for job in found] == [[0], [50], [99]]
    dues = [job.due_at for job in found]
    assert dues == sorted(dues)
    assert app.jobs.count(Status.SCHEDULED, queue="notes") == 100


# Buffered.


def test_buffered_jobs_are_stored_when_the_block_ends(app: FastJobs, note: JobType) -> None:
    with app.buffered():
        jobs = [note.enqueue(number) for number in range(2500)]
    assert app.jobs.count(Status.QUEUED, queue="notes") == 2500
    assert len({job.id for job in jobs}) == 2500
    assert [job.refresh().args for job in jobs[::500]] == [[number] for number in range(0, 2500, 500)]


def test_buffered_jobs_share_chunks_and_keep_their_order(app: FastJobs, note: JobType, server: ServerProcess) -> None:
    with app.buffered(linger_s=1):
        for number in range(10):
            note.enqueue(number)
    assert [job.args for job in app.jobs.list(Status.QUEUED, queue="notes").jobs] == [[number] for number in range(10)]
    keys = app.jobs._store().keys("notes")
    assert server.client().hlen(keys.chunks) == 1


def test_a_buffered_job_is_sent_after_lingering(app: FastJobs, note: JobType) -> None:
    with app.buffered(linger_s=0.001):
        job = note.enqueue(1)
        wait_until(lambda: app.jobs.count(Status.QUEUED, queue="notes") == 1, 10, "the job is sent by itself")
        assert app.jobs.find(job.id).args == [1]


def test_flush_waits_until_all_is_stored(app: FastJobs, note: JobType) -> None:
    with app.buffered(linger_s=60) as buffer:
        note.enqueue(1)
        note.options(priority=5).enqueue(2)
        buffer.flush()
        assert app.jobs.count(Status.QUEUED, queue="notes") == 2


def test_many_threads_share_a_buffer(app: FastJobs, note: JobType) -> None:
    with app.buffered():
        threads = [threading.Thread(target=lambda: [note.enqueue(number) for number in range(500)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert app.jobs.count(Status.QUEUED, queue="notes") == 4000


def test_what_cannot_be_stored_raises_at_once_and_hurts_nothing_else(app: FastJobs, note: JobType) -> None:
    with app.buffered(linger_s=60):
        note.enqueue(1)
        with pytest.raises(PayloadError, match=r"args\[0\]"):
            note.enqueue(float("nan"))
        note.enqueue(2)
    assert [job.args for job in app.jobs.list(Status.QUEUED, queue="notes").jobs] == [[1], [2]]


def test_a_refusal_of_the_server_raises_when_the_block_ends(app: FastJobs, note: JobType) -> None:
    with ServerProcess("--maxmemory", "1") as full:
        broken = FastJobs(full.url, retry_budget_s=0.1)
        tell = broken.job(name="tell")(lambda number: None)
        with pytest.raises(NotEnqueued), broken.buffered():
            tell.enqueue(1)
        with pytest.raises(NotEnqueued), broken.buffered(linger_s=0.001) as buffer:
            tell.enqueue(1)
            wait_until(lambda: buffer._failures, 10, "the chunk is refused")
            tell.enqueue(2)


def test_one_error_names_all_buffered_jobs_that_failed(server: ServerProcess, namespace: str) -> None:
    with Proxy(server.socket) as proxy:
        app = FastJobs(proxy.url, namespace=namespace, socket_timeout_s=0.2, retry_budget_s=0.1)
        tell = app.job(name="tell")(lambda number: None)
        with app.buffered(linger_s=60) as buffer:
            tell.enqueue(0)
            buffer.flush()
            proxy.behave(Behaviour.BLACKHOLE)
            first = [tell.enqueue(number) for number in range(1500)]
            wait_until(lambda: buffer._sending, 10, "the full chunk is being sent")
            second = [tell.options(priority=9).enqueue(number) for number in range(2)]
            with pytest.raises(EnqueueUnknown) as caught:
                buffer.flush()
            # `~000` was the one job's second name.
            named = {*caught.value.ids, *caught.value.refused}
            assert named == {job.id for job in first + second}
            assert {job.id for job in first[:1000]} <= set(caught.value.ids)
            proxy.heal()
            assert sorted(caught.value.resend()) == sorted(caught.value.ids)
            third = tell.enqueue(3)
            buffer.flush()
        assert app.jobs.find(third.id).args == [3]


def test_a_refused_batch_of_a_buffer_is_reported_although_one_before_was(
    app: FastJobs, monkeypatch: pytest.MonkeyPatch, note: JobType
) -> None:
    failures: list[Exception] = [NotEnqueued("the first"), EnqueueUnknown("the second", ["a"], ["b"])]
    with app.buffered(linger_s=60) as buffer:
        buffer._failures += failures
        with pytest.raises(EnqueueUnknown, match="the first; the second") as caught:
            buffer.flush()
        assert (caught.value.ids, caught.value.enqueued) == (["a"], ["b"])
        buffer.flush()


def test_a_child_forked_in_the_block_sends_its_own_jobs_and_none_of_its_parents(app: FastJobs, note: JobType) -> None:
    with app.buffered(linger_s=60) as buffer:
        parents = note.enqueue(1)
        with buffer._lock:
            # As a thread may hold it at the time of a fork.
            pid = os.fork()
        if pid == 0:
            code = 1
            try:
                signal.alarm(20)
                note.enqueue(2)
                buffer.flush()
                buffer.stop()
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert [job.args for job in app.jobs.list(Status.QUEUED, queue="notes").jobs] == [[2]]
        buffer.flush()
    assert app.jobs.find(parents.id).args == [1]
    assert [job.args for job in app.jobs.list(Status.QUEUED, queue="notes").jobs] == [[2], [1]]


def test_a_lost_reply_does_not_store_buffered_jobs_twice(server: ServerProcess, namespace: str) -> None:
    with Proxy(server.socket) as proxy:
        app = FastJobs(proxy.url, namespace=namespace, socket_timeout_s=0.3)
        tell = app.job(name="tell")(lambda number: None)
        with app.buffered(linger_s=60) as buffer:
            tell.enqueue(0)
            buffer.flush()
            proxy.swallow_one_reply()
            for number in range(1, 10):
                tell.enqueue(number)
        assert app.jobs.count(Status.QUEUED) == 10


def test_jobs_with_ids_of_their_own_are_not_buffered(app: FastJobs, note: JobType) -> None:
    with app.buffered(linger_s=60):
        note.options(job_id="mine").enqueue(1)
        assert app.jobs.find("mine").args == [1]


def test_buffers_do_not_nest(app: FastJobs) -> None:
    with app.buffered(), pytest.raises(ConfigError, match="buffered already"), app.buffered():
        pass
