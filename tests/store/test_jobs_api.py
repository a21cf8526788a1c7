"""What `app.jobs` and handles answer and do, end to end on a real server."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fastjobs import ConfigError, FastJobs, Job, JobNotFound, JobStateError, JobType, Status
from fastjobs.operating.operations import Operations
from tests.harness.queue import QueueUnderTest
from tests.harness.server import ServerProcess
from tests.store.conftest import MakeQueue


@pytest.fixture
def app(server: ServerProcess, namespace: str) -> Iterator[FastJobs]:
    app = FastJobs(server.url, namespace=namespace)
    yield app
    app.close()


@pytest.fixture
def queue(make_queue: MakeQueue) -> QueueUnderTest:
    return make_queue("notes")


@pytest.fixture
def note(app: FastJobs) -> JobType:
    @app.job(name="note", queue="notes", retries=4)
    def note(number: int, *, text: str = "") -> None: ...

    return note


@pytest.fixture
def other(app: FastJobs) -> JobType:
    @app.job(name="other", queue="notes")
    def other(number: int) -> None: ...

    return other


def fail_all(queue: QueueUnderTest, app: FastJobs, error: str = "ValueError") -> int:
    """Leases all that is queued and lets it fail with an error."""
    from fastjobs.model.outcome import Outcome
    from fastjobs.model.record import ErrorRecord
    from fastjobs.model.refs import split_ref
    from fastjobs.operating.stored_jobs import StoredChunk, decode_record
    from tests.harness.snapshot import jobs_of

    session = queue.open()
    failed = 0
    while True:
        held = queue.fetch(session, 200)
        if held.fence == 0:
            break
        outcomes = []
        for ref in held.refs:
            chunk_id, first, _, kind = split_ref(ref)
            if kind == "detached":
                stored = queue.raw.hget(queue.keys.jobs, ref)
                record = decode_record(queue.store, queue.name, ref, ref, stored)
                record.add_error(ErrorRecord(type=error, message="anew", attempt=1))
                outcomes.append(Outcome(ref, 0, first, "failed", 0, 0, 0, record.type, record.encode()))
                continue
            stored = queue.raw.hget(queue.keys.chunks, chunk_id)
            assert stored is not None
            chunk = StoredChunk(queue.store, queue.name, chunk_id, stored)
            for job in jobs_of(ref):
                index = int(job.rpartition("~")[2])
                record = chunk.record(index)
                record.attempts = 1
                record.add_error(ErrorRecord(type=error, message=f"no {index}", attempt=1))
                outcomes.append(
                    Outcome(chunk_id, chunk.n, index, "failed", 0, record.priority, 0, record.type, record.encode())
                )
        failed += queue.ack(held, (), outcomes)
    queue.close_session(session)
    return failed


# Questions.


def test_a_job_is_found_with_all_its_fields(app: FastJobs, note: JobType) -> None:
    enqueued = note.options(priority=7, retries=2).enqueue(1, text="hello")
    found = app.jobs.find(enqueued.id)
    assert (found.type, found.args, found.kwargs) == ("note", [1], {"text": "hello"})
    assert (found.priority, found.queue, found.status) == (7, "notes", Status.QUEUED)
    assert (found.attempts, found.retries_left) == (0, 2)
    assert found.created_at is not None
    assert abs(datetime.now(UTC) - found.created_at) < timedelta(minutes=1)
    assert (found.started_at, found.finished_at, found.duration, found.worker) == (None, None, None, None)
    assert found.error is None


def test_a_job_is_found_by_an_app_that_does_not_know_its_type(app: FastJobs, note: JobType) -> None:
    job_id = note.enqueue(1).id
    stranger = FastJobs(app.url, namespace=app.config.namespace)
    found = stranger.jobs.find(job_id)
    assert (found.type, found.args, found.retries_left) == ("note", [1], None)
    stranger.close()


@pytest.mark.parametrize("job_id", ["nobody", "nobody~0", "x~1000", "x~01", "x~-1", "x~", "~", "", "a b", "x" * 200])
def test_an_id_that_no_job_has_is_not_found(app: FastJobs, note: JobType, job_id: str) -> None:
    note.enqueue(1)
    with pytest.raises(JobNotFound) as caught:
        app.jobs.find(job_id)
    assert caught.value.job_id == job_id


def test_a_chunk_of_many_is_no_job(app: FastJobs, note: JobType) -> None:
    ids = note.enqueue_many(range(3))
    with pytest.raises(JobNotFound):
        app.jobs.find(ids[0].partition("~")[0])
    app.jobs.find(ids[0]).cancel()
    with pytest.raises(JobNotFound):
        app.jobs.find(ids[0].partition("~")[0])


def test_counts_are_per_status_queue_and_for_ended_jobs_per_type(
    app: FastJobs, note: JobType, other: JobType, queue: QueueUnderTest
) -> None:
    note.enqueue_many(range(5))
    other.enqueue_many(range(3))
    note.options(queue="more").enqueue_many(range(2))
    assert app.jobs.count(Status.QUEUED) == 10
    assert app.jobs.count(Status.QUEUED, queue="notes") == 8
    assert fail_all(queue, app) == 8
    assert app.jobs.count(Status.FAILED, type="note") == 5
    assert app.jobs.count(Status.FAILED, type="other", queue="notes") == 3
    assert app.jobs.count(Status.FAILED, type="nobody") == 0
    assert app.jobs.counts()["more"][Status.QUEUED] == 2
    with pytest.raises(ConfigError, match="not counted by type"):
        app.jobs.count(Status.QUEUED, type="note")


def test_pages_hold_every_job_once_in_the_order_they_run(app: FastJobs, note: JobType) -> None:
    low = list(note.enqueue_many(range(25)))
    high = list(note.options(priority=1).enqueue_many(range(10)))
    single = [note.options(priority=-1).enqueue(number).id for number in range(7)]
    listed: list[str] = []
    cursor = None
    while True:
        page = app.jobs.list(Status.QUEUED, limit=4, cursor=cursor)
        assert len(page.jobs) <= 4
        listed += [job.id for job in page.jobs]
        cursor = page.cursor
        if cursor is None:
            break
    assert listed == high + low + single
    assert list(app.jobs.ids(Status.QUEUED)) == listed


def test_paging_goes_on_behind_jobs_that_are_gone(app: FastJobs, note: JobType) -> None:
    ids = list(note.enqueue_many(range(30)))
    first = app.jobs.list(Status.QUEUED, limit=10)
    for job in first.jobs:
        job.cancel()
    rest = app.jobs.list(Status.QUEUED, limit=100, cursor=first.cursor)
    assert [job.id for job in first.jobs] + [job.id for job in rest.jobs] == ids


def test_the_latest_failed_jobs_come_first_when_asked_for(app: FastJobs, note: JobType, queue: QueueUnderTest) -> None:
    ids = [note.enqueue(number).id for number in range(5)]
    fail_all(queue, app)
    assert [job.id for job in app.jobs.list(Status.FAILED).jobs] == ids
    assert [job.id for job in app.jobs.list(Status.FAILED, reverse=True).jobs] == ids[::-1]


def test_pages_go_over_all_queues(app: FastJobs, note: JobType) -> None:
    first = list(note.options(queue="a").enqueue_many(range(3)))
    second = list(note.options(queue="b").enqueue_many(range(3)))
    page = app.jobs.list(Status.QUEUED, limit=3)
    assert [job.id for job in page.jobs] == first
    page = app.jobs.list(Status.QUEUED, limit=3, cursor=page.cursor)
    assert ([job.id for job in page.jobs], page.cursor) == (second, None)


@pytest.mark.parametrize("limit", [0, 1001, 1.5, True])
def test_a_limit_out_of_range_is_refused(app: FastJobs, limit: int) -> None:
    with pytest.raises(ConfigError, match="limit"):
        app.jobs.list(Status.QUEUED, limit=limit)


def test_a_cursor_that_is_none_is_refused(app: FastJobs, note: JobType) -> None:
    note.enqueue(1)
    with pytest.raises(ConfigError, match="cursor"):
        app.jobs.list(Status.QUEUED, cursor="notes nonsense")


def test_a_page_does_not_end_at_the_border_of_a_queue(app: FastJobs, note: JobType, make_queue: MakeQueue) -> None:
    one, many = make_queue("a"), make_queue("b")
    for queue, number in ((one, 1), (many, 30)):
        note.options(queue=queue.name).enqueue_many(range(number))
        queue.finish(queue.fetch(queue.open(), number), keep_ms=60_000)
    page = app.jobs.list(Status.FINISHED, limit=20)
    assert [job.queue for job in page.jobs] == ["a", *(19 * ["b"])]
    page = app.jobs.list(Status.FINISHED, limit=20, cursor=page.cursor)
    assert (len(page.jobs), page.cursor) == (11, None)


def test_a_cursor_is_one_opaque_word_that_is_good_for_its_listing_only(app: FastJobs, note: JobType) -> None:
    note.enqueue_many(range(3))
    cursor = app.jobs.list(Status.QUEUED, queue="notes", limit=1).cursor
    assert cursor is not None
    assert re.fullmatch("[A-Za-z0-9_]+[A-Za-z0-9_-]*", cursor)
    assert len(app.jobs.list(Status.QUEUED, queue="notes", cursor=cursor).jobs) == 2
    foreign: list[dict[str, Any]] = [
        {"status": Status.FAILED, "queue": "notes", "cursor": cursor},
        {"status": Status.QUEUED, "queue": "other", "cursor": cursor},
        {"status": Status.QUEUED, "queue": None, "cursor": cursor},
        {"status": Status.QUEUED, "queue": "notes", "cursor": cursor, "reverse": True},
        {"status": Status.QUEUED, "queue": "notes", "cursor": cursor[:-1]},
        {"status": Status.QUEUED, "queue": "notes", "cursor": "ä"},
        {"status": Status.QUEUED, "queue": "notes", "cursor": ""},
    ]
    for values in foreign:
        with pytest.raises(ConfigError, match="does not come from a page of this listing"):
            app.jobs.list(**values)


# Operations.


def test_a_failed_job_is_retried_with_all_its_retries_and_keeps_its_errors(
    app: FastJobs, note: JobType, queue: QueueUnderTest
) -> None:
    job = note.enqueue(1)
    fail_all(queue, app)
    assert job.refresh().status is Status.FAILED
    assert (job.attempts, job.retries_left) == (1, 3)
    assert job.retry().status is Status.QUEUED
    assert job.retry().status is Status.QUEUED
    job.refresh()
    assert (job.attempts, job.retries_left, len(job.errors)) == (0, 4, 1)


def test_an_executing_job_is_not_rescheduled(app: FastJobs, note: JobType, queue: QueueUnderTest) -> None:
    job = note.enqueue(1)
    queue.fetch(queue.open("s"), 1)
    with pytest.raises(JobStateError, match="is executing") as caught:
        job.reschedule()
    assert (caught.value.job_id, caught.value.status) == (job.id, "executing")
    assert job.retry().status is Status.EXECUTING


def test_what_an_executing_job_reports_after_it_was_destroyed_goes_nowhere(
    app: FastJobs, note: JobType, queue: QueueUnderTest
) -> None:
    ids = note.enqueue_many(range(3))
    held = queue.fetch(queue.open("s"), 3)
    job = app.jobs.find(ids[1])
    job.destroy()
    assert queue.finish(held, keep_ms=60_000) == 2
    with pytest.raises(JobNotFound):
        job.refresh()
    assert queue.counts() == {"finished": 2}
    assert [found.id for found in app.jobs.list(Status.FINISHED).jobs] == [ids[0], ids[2]]


def test_an_executing_job_that_is_cancelled_is_not_run_again(
    app: FastJobs, note: JobType, queue: QueueUnderTest
) -> None:
    ids = note.enqueue_many(range(4))
    held = queue.fetch(queue.open("s"), 4)
    assert app.jobs.find(ids[2]).cancel().status is Status.EXECUTING
    assert queue.release(held) == 4
    assert queue.counts() == {"queued": 3, "cancelled": 1}
    assert app.jobs.find(ids[2]).status is Status.CANCELLED
    assert app.jobs.find(ids[2]).reschedule().status is Status.QUEUED


@pytest.mark.parametrize("at", [datetime(2030, 1, 1), "tomorrow", 5])
def test_a_time_without_a_zone_is_refused(app: FastJobs, note: JobType, at: object) -> None:
    job = note.enqueue(1)
    with pytest.raises(ConfigError, match="at="):
        job.reschedule(at)  # type: ignore[arg-type]
    assert job.refresh().status is Status.QUEUED


def test_a_job_is_moved_to_another_priority_behind_those_before_it(app: FastJobs, note: JobType) -> None:
    jobs = [note.options(priority=priority).enqueue(priority) for priority in (0, 5, 5, 9)]
    jobs[0].set_priority(5)
    line = [job.args for job in app.jobs.list(Status.QUEUED).jobs]
    assert line == [[9], [0], [5], [5]]
    with pytest.raises(ConfigError, match="priority"):
        jobs[0].set_priority(2**31 + 1)


def test_handles_of_gone_jobs_say_so(app: FastJobs, note: JobType) -> None:
    job = note.enqueue(1)
    job.destroy()
    job.destroy()
    for act in (job.refresh, job.cancel, job.retry, job.reschedule, lambda: job.set_priority(1)):
        with pytest.raises(JobNotFound):
            act()


# Many at once.


def test_a_selection_by_type_and_error_is_retried(
    app: FastJobs, note: JobType, other: JobType, queue: QueueUnderTest
) -> None:
    note.enqueue_many(range(300))
    fail_all(queue, app, "TimeoutError")
    other.enqueue_many(range(5))
    fail_all(queue, app, "TimeoutError")
    note.enqueue_many(range(5))
    fail_all(queue, app, "ValueError")
    told: list[int] = []
    assert app.jobs.where(type="note", error="TimeoutError").retry_all(told.append) == 300
    assert told[-1] == 300
    assert len(told) > 1
    assert queue.counts() == {"queued": 300, "failed": 10}


def test_everything_that_waits_is_cancelled_and_everything_destroyed(
    app: FastJobs, note: JobType, queue: QueueUnderTest
) -> None:
    note.enqueue_many(range(450))
    note.options(delay=1000).enqueue_many(range(3))
    note.enqueue(1)
    assert app.jobs.where(queue="notes").cancel_all() == 454
    assert queue.counts() == {"cancelled": 454}
    assert app.jobs.where(status=Status.CANCELLED).count() == 454
    assert app.jobs.where().destroy_all() == 454
    assert queue.counts() == {}


#: A key that the app under test does not have.
KEY = base64.b64encode(bytes(32)).decode()
#: Steps after which an operation on some hundred jobs surely does not end by itself.
ENDLESS = 40


def at_each_step(action: Callable[[], object]) -> Callable[[int], None]:
    """A `progress` that acts after each step, and raises when there is no end to them."""
    steps = iter(range(ENDLESS))

    def act(changed: int) -> None:
        if next(steps, None) is None:
            raise AssertionError(f"it goes on and on, after {changed} jobs")
        action()

    return act


def test_a_job_that_fails_anew_is_retried_once(app: FastJobs, note: JobType, queue: QueueUnderTest) -> None:
    note.enqueue_many(range(300))
    fail_all(queue, app)
    assert app.jobs.where().retry_all(at_each_step(lambda: fail_all(queue, app))) == 300
    assert queue.counts() == {"failed": 300}


def test_ids_leave_out_jobs_that_fail_anew_meanwhile(app: FastJobs, note: JobType, queue: QueueUnderTest) -> None:
    note.enqueue_many(range(1100))
    fail_all(queue, app)
    ids = app.jobs.ids(Status.FAILED)
    seen = [next(ids)]
    assert app.jobs.where().retry_all() == fail_all(queue, app) == 1100
    seen += ids
    assert len(seen) <= 1100


def test_jobs_that_come_meanwhile_are_not_cancelled(app: FastJobs, note: JobType, queue: QueueUnderTest) -> None:
    for priority in (0, 5, -5):
        note.options(priority=priority).enqueue_many(range(150))

    def come() -> None:
        for priority in (0, 5, -5, 7):
            note.options(priority=priority).enqueue_many(range(100))

    assert app.jobs.where(status=Status.QUEUED).cancel_all(at_each_step(come)) == 450
    assert queue.counts()["cancelled"] == 450


@pytest.mark.parametrize("options", [{}, {"delay": 1000}, {"priority": 5}])
def test_removing_ends_although_jobs_come_faster(
    app: FastJobs, note: JobType, queue: QueueUnderTest, options: dict[str, int]
) -> None:
    def come() -> None:
        note.options(**options).enqueue_many(range(1000))

    come()
    assert app.queue("notes").clear(at_each_step(come)) >= 1000
    note.enqueue_many(range(100))
    assert app.jobs.where().destroy_all(at_each_step(come)) >= 100


def test_jobs_that_are_leased_meanwhile_and_came_before_are_asked_to_end(
    app: FastJobs, note: JobType, queue: QueueUnderTest
) -> None:
    note.enqueue_many(range(10))
    session = queue.open()
    queue.fetch(session, 5)
    found = app.jobs.where(status=Status.EXECUTING)
    assert found.cancel_all(at_each_step(lambda: note.enqueue(1) and queue.fetch(session, 100))) == 5


def test_a_job_that_cannot_be_changed_is_skipped_counted_and_named(
    app: FastJobs, note: JobType, queue: QueueUnderTest, server: ServerProcess, namespace: str
) -> None:
    note.enqueue_many(range(250))
    owner = FastJobs(server.url, namespace=namespace, encryption_keys={"k": KEY})
    sealed = owner.job(name="note", queue="notes")(print).options(job_id="sealed").enqueue(1)
    note.enqueue_many(range(250))
    cancelled = app.jobs.where().cancel_all()
    assert (cancelled, cancelled.skipped) == (500, 1)
    ((name, reason),) = cancelled.reasons
    assert name == "sealed"
    assert reason.startswith("MissingKey: ")
    assert queue.counts() == {"queued": 1, "cancelled": 500}
    assert sealed.refresh().status == Status.QUEUED
    owner.close()


def test_a_queue_that_cannot_be_read_holds_no_other_up(
    app: FastJobs, note: JobType, queue: QueueUnderTest, make_queue: MakeQueue
) -> None:
    newer = make_queue("early")
    app.job(name="early", queue="early")(print).enqueue(1)
    note.enqueue_many(range(3))
    newer.raw.hset(newer.keys.stats, "layout", 99)
    cancelled = app.jobs.where(status=Status.QUEUED).cancel_all()
    assert (cancelled, cancelled.skipped) == (3, 1)
    assert cancelled.reasons[0][0] == "queue early"
    newer.raw.hdel(newer.keys.stats, "layout")


def test_a_job_that_changed_since_it_was_found_is_looked_at_again(
    app: FastJobs, note: JobType, queue: QueueUnderTest
) -> None:
    note.enqueue_many(range(3))
    fail_all(queue, app)
    ((partition, found),) = app._handles.steps(Status.FAILED, ["notes"])
    app.jobs.find(found[0].record.id).retry()
    fail_all(queue, app)
    app.jobs.find(found[1].record.id).retry()
    app.jobs.find(found[2].record.id).destroy()
    changed = app._handles.operations(partition).retry_many(found)
    assert (changed, changed.skipped) == (1, 0)
    assert queue.counts() == {"queued": 2}


def test_a_job_that_has_ended_meanwhile_does_not_count_as_cancelled(
    app: FastJobs, note: JobType, queue: QueueUnderTest
) -> None:
    note.enqueue_many(range(3))
    ((partition, found),) = app._handles.steps(Status.QUEUED, ["notes"])
    fail_all(queue, app)
    assert app._handles.operations(partition).cancel_many(found) == 0


def test_an_operation_that_does_not_fit_the_status_is_refused(app: FastJobs) -> None:
    with pytest.raises(ConfigError, match="not for finished jobs"):
        app.jobs.where(status=Status.FINISHED).retry_all()


# Queues.


def test_a_paused_queue_gives_nothing_out_until_it_goes_on(app: FastJobs, note: JobType, queue: QueueUnderTest) -> None:
    note.enqueue_many(range(3))
    session = queue.open()
    app.queue("notes").pause()
    assert app.queue("notes").paused
    assert queue.fetch(session, 3).fence == 0
    note.enqueue(4)
    app.queue("notes").resume()
    assert not app.queue("notes").paused
    assert len(queue.drain(session)) == 4


def test_clearing_drops_what_waits_and_says_how_many(app: FastJobs, note: JobType, queue: QueueUnderTest) -> None:
    note.enqueue_many(range(2000))
    note.options(delay=1000).enqueue_many(range(10))
    held = queue.fetch(queue.open("s"), 1500)
    told: list[int] = []
    assert app.queue("notes").clear(told.append) == 510
    assert told
    assert queue.counts() == {"executing": 1500}
    assert queue.finish(held) == 1500
    assert app.queue("notes").clear() == 0
    assert queue.counts() == {}


def test_latency_is_the_age_of_the_oldest_job_of_any_priority(app: FastJobs, note: JobType) -> None:
    assert app.queue("notes").latency() == timedelta(0)
    note.options(priority=-5).enqueue(1)
    first = app.queue("notes").latency()
    note.options(priority=5).enqueue(2)
    assert first < app.queue("notes").latency() < timedelta(minutes=1)


def test_drain_waits_for_the_last_job(app: FastJobs, note: JobType, queue: QueueUnderTest) -> None:
    note.enqueue(1)
    with pytest.raises(TimeoutError, match="notes"):
        app.queue("notes").drain(timeout_s=0.01)
    queue.drain(queue.open())
    app.queue("notes").drain(timeout_s=10)


@pytest.mark.parametrize("name", ["", "a{b}", "a b", "ä", "x" * 129])
def test_a_bad_queue_name_is_refused(app: FastJobs, name: str) -> None:
    with pytest.raises(ConfigError, match="queue"):
        app.queue(name)


def test_a_handle_tells_what_it_is(note: JobType) -> None:
    job = note.enqueue(1)
    assert isinstance(job, Job)
    assert repr(job) == f"<Job {job.id} note queued queue=notes>"


def test_finished_jobs_are_listed_once_each_in_whatever_order_they_finished(
    app: FastJobs, queue: QueueUnderTest
) -> None:
    chunk_id = queue.seed_queued(12)
    held = queue.fetch(queue.open(), 12)
    for first, count in ((5, 4), (0, 2), (9, 2), (2, 3)):
        assert queue.ack(held, [queue.run(chunk_id, 12, first, count, keep_ms=60_000)]) == count
        listed, cursor = [], None
        while True:
            page = app.jobs.list(Status.FINISHED, queue="notes", limit=3, cursor=cursor)
            listed += [job.id for job in page.jobs]
            cursor = page.cursor
            if cursor is None:
                break
        assert len(listed) == len(set(listed)) == app.jobs.count(Status.FINISHED, queue="notes")


def test_from_the_end_of_the_line_pieces_of_a_chunk_are_listed_whole(app: FastJobs, queue: QueueUnderTest) -> None:
    chunk_id = queue.seed_queued(6)
    held = [queue.fetch(queue.open(), 2) for _ in range(2)]
    assert queue.release(held[1]) == 2
    listed, cursor = [], None
    while True:
        page = app.jobs.list(Status.QUEUED, queue="notes", limit=1, cursor=cursor, reverse=True)
        listed += [job.id for job in page.jobs]
        cursor = page.cursor
        if cursor is None:
            break
    assert listed == [f"{chunk_id}~{index:03d}" for index in (5, 4, 3, 2)]


@pytest.mark.parametrize("reverse", [False, True])
def test_postponed_pieces_of_a_chunk_are_listed_though_later_ones_came_first(
    app: FastJobs, queue: QueueUnderTest, reverse: bool
) -> None:
    chunk_id = queue.seed_queued(6)
    held = [queue.fetch(queue.open(), 2) for _ in range(3)]
    for lease, delay_ms in zip(held, (3_000_000, 2_000_000, 1_000_000), strict=True):
        assert queue.postpone(lease, delay_ms) == 2
    listed, cursor = [], None
    while True:
        page = app.jobs.list(Status.SCHEDULED, queue="notes", limit=1, cursor=cursor, reverse=reverse)
        listed += [job.id for job in page.jobs]
        cursor = page.cursor
        if cursor is None:
            break
    order = [1, 0, 3, 2, 5, 4] if reverse else [4, 5, 2, 3, 0, 1]
    assert listed == [f"{chunk_id}~{index:03d}" for index in order]


@pytest.mark.parametrize("reverse", [False, True])
def test_a_page_that_ends_before_a_job_that_left_its_chunk_hides_none_that_stayed(
    app: FastJobs, queue: QueueUnderTest, reverse: bool
) -> None:
    first, second = queue.seed_queued(5), queue.seed_queued(1)
    Operations(queue.store, "notes").prioritize(f"{first}~002", -1 if reverse else 1)
    third = queue.seed_queued(1, priority=-2 if reverse else 2)
    listed, cursor = [], None
    while True:
        page = app.jobs.list(Status.QUEUED, queue="notes", limit=1, cursor=cursor, reverse=reverse)
        listed += [job.id for job in page.jobs]
        cursor = page.cursor
        if cursor is None:
            break
    assert sorted(listed) == sorted([second, third, *(f"{first}~{index:03d}" for index in range(5))])


def test_when_one_finished_job_of_a_chunk_is_destroyed_the_others_are_still_found(queue: QueueUnderTest) -> None:
    chunk_id = queue.seed_finished(3)
    operations = Operations(queue.store, "notes")
    for index in (1, 0):
        operations.destroy(f"{chunk_id}~{index:03d}")
        assert [queue.status(chunk_id, at) for at in range(index)] == ["finished"] * index
        assert queue.status(chunk_id, 2) == "finished"
    operations.reschedule(f"{chunk_id}~002")
    assert queue.counts() == {"queued": 1}
