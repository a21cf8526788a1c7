"""Partitions as producers and tools see them: where jobs go, that they are found, and that numbers may change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from fastjobs import FastJobs, JobNotFound, Status
from fastjobs.errors import ConfigError, JobIdConflict
from fastjobs.jobtypes import JobType
from fastjobs.model.partitions import earlier_places, jump_hash, number_of, partition_name, queue_of
from fastjobs.producing.listed_partitions import ListedPartitions
from fastjobs.store.keys import queues_key
from tests.harness.queue import QueueUnderTest
from tests.harness.server import ServerProcess

MakeApp = Callable[..., FastJobs]


@pytest.fixture
def make_app(server: ServerProcess, namespace: str) -> Iterator[MakeApp]:
    """Makes apps in one namespace; the invariants of all partitions are checked when the test ends."""
    with ExitStack() as stack:

        def check(app: FastJobs) -> None:
            for name in app.jobs.partitions():
                queue = QueueUnderTest(server.url, namespace, name)
                queue.snapshot()
                queue.close()
            app.close()

        def make(**settings: Any) -> FastJobs:
            app = FastJobs(server.url, namespace=namespace, chunk_jobs=10, **settings)
            app.job(queue="mail", name="work")(work)
            stack.callback(check, app)
            return app

        yield make


def work(number: int) -> None:
    del number


def work_type(app: FastJobs) -> JobType[..., None]:
    return JobType(app._enqueuing, app._registry["work"])


def used(app: FastJobs, queue: str = "mail") -> dict[str, int]:
    """Queued jobs by partition."""
    store = app._store()
    counts = {}
    for name in app.jobs.partitions(queue):
        number = store.batch().command("HGET", store.keys(name).stats, "queued").run()
        counts[name] = int(number or 0)
    return counts


def test_without_partitions_names_and_ids_are_as_ever(make_app: MakeApp) -> None:
    app = make_app()
    ids = work_type(app).enqueue_many(range(25))
    assert app.jobs.partitions() == ["mail"]
    assert all("." not in job_id for job_id in ids)


def test_chunks_go_round_the_partitions(make_app: MakeApp) -> None:
    app = make_app(partitions=3)
    work_type(app).enqueue_many(range(60))
    assert used(app) == {"mail": 20, "mail#1": 20, "mail#2": 20}
    assert app.jobs.counts()["mail"][Status.QUEUED] == 60
    assert app.jobs.queues() == ["mail"]


def test_a_queue_may_have_its_own_number(make_app: MakeApp) -> None:
    app = make_app(partitions=2, queue_partitions={"mail": 4})
    work_type(app).enqueue_many(range(40))
    work_type(app).options(queue="other").enqueue_many(range(40))
    assert len(used(app)) == 4
    assert len(used(app, "other")) == 2


def test_jobs_with_one_key_are_in_one_partition_in_order(make_app: MakeApp) -> None:
    app = make_app(partitions=4)
    work = work_type(app)
    for number in range(5):
        work.options(partition_key="customer 7").enqueue(number)
    app.enqueue_many([work.options(partition_key="customer 7").call(number) for number in range(5, 30)])
    with app.buffered():
        for number in range(30, 35):
            work.options(partition_key="customer 7").enqueue(number)
    (partition,) = [name for name, jobs in used(app).items() if jobs]
    page = app.jobs.list(Status.QUEUED, queue="mail")
    assert [job.args for job in page.jobs] == [[number] for number in range(35)]
    assert {job.partition for job in page.jobs} == {partition}


def test_every_id_is_found_in_its_partition(make_app: MakeApp) -> None:
    app = make_app(partitions=5)
    work = work_type(app)
    ids = [*work.enqueue_many(range(60)), *(work.enqueue(number).id for number in range(10))]
    ids += [work.options(job_id=f"chosen-{number}").enqueue(number).id for number in range(20)]
    for job_id in ids:
        job = app.jobs.find(job_id)
        assert job.id == job_id
        assert job.queue == "mail"
        likely = app._enqueuing.partitioner.of_id("mail", job_id.partition("~")[0])
        assert job.partition == partition_name("mail", likely)
    with pytest.raises(JobNotFound):
        app.jobs.find("nobody")


def test_operations_reach_jobs_in_every_partition(make_app: MakeApp) -> None:
    app = make_app(partitions=4)
    work = work_type(app)
    handles = [work.enqueue(number) for number in range(8)]
    assert len({job.partition for job in handles}) == 4
    for job in handles:
        assert job.cancel().status is Status.CANCELLED
        assert job.refresh().status is Status.CANCELLED
    assert app.jobs.count(Status.CANCELLED, queue="mail") == 8
    assert app.jobs.where(status=Status.CANCELLED, queue="mail").destroy_all() == 8


def test_pages_go_through_all_partitions_without_gap_or_repetition(make_app: MakeApp) -> None:
    app = make_app(partitions=3)
    work_type(app).enqueue_many(range(95))
    seen: Counter[int] = Counter()
    cursor = None
    while True:
        page = app.jobs.list(Status.QUEUED, queue="mail", limit=7, cursor=cursor)
        seen.update(job.args[0] for job in page.jobs if job.args)
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == Counter(range(95))


def test_a_queue_is_paused_measured_and_cleared_in_all_partitions(make_app: MakeApp) -> None:
    app = make_app(partitions=3)
    work_type(app).enqueue_many(range(90))
    queue = app.queue("mail")
    queue.pause()
    store = app._store()
    for name in app.jobs.partitions("mail"):
        assert store.batch().command("HGET", store.keys(name).stats, "paused").run() == b"1"
    queue.resume()
    assert not queue.paused
    assert queue.latency().total_seconds() > 0
    assert queue.clear() == 90
    queue.drain(1)


def test_the_number_may_be_raised_while_jobs_are_queued(make_app: MakeApp) -> None:
    few, many = make_app(partitions=2), make_app(partitions=5)
    before = work_type(few).enqueue_many(range(40))
    chosen = [work_type(few).options(job_id=f"chosen-{number}").enqueue(number) for number in range(30)]
    after = work_type(many).enqueue_many(range(40, 90))
    for job_id in [*before, *after]:
        assert many.jobs.find(job_id).id == job_id
        assert few.jobs.find(job_id).id == job_id
    for job in chosen:
        assert many.jobs.find(job.id).partition == job.partition
    assert few.jobs.counts() == many.jobs.counts()
    assert many.jobs.count(Status.QUEUED) == 120


def test_a_chosen_id_stays_one_job_when_the_number_is_raised(make_app: MakeApp) -> None:
    few, many = make_app(partitions=2), make_app(partitions=9)
    ids = [f"order-{number}" for number in range(60)]
    assert any(jump_hash(job_id, 2) != jump_hash(job_id, 9) for job_id in ids)
    for number, job_id in enumerate(ids):
        work_type(few).options(job_id=job_id).enqueue(number)
    for number, job_id in enumerate(ids):
        work_type(many).options(job_id=job_id).enqueue(number)
    assert many.jobs.count(Status.QUEUED) == 60
    with pytest.raises(JobIdConflict):
        work_type(many).options(job_id=ids[0]).enqueue("other")
    many.enqueue_many([work_type(many).options(job_id=job_id).call(number) for number, job_id in enumerate(ids)])
    assert many.jobs.count(Status.QUEUED) == 60


def test_the_number_may_be_lowered_and_what_is_left_is_still_seen(make_app: MakeApp) -> None:
    many, few = make_app(partitions=5), make_app(partitions=2)
    ids = work_type(many).enqueue_many(range(50))
    assert few.jobs.count(Status.QUEUED) == 50
    assert [few.jobs.find(job_id).id for job_id in ids] == list(ids)


def test_recurring_jobs_and_their_runs_are_in_the_first_partition(make_app: MakeApp) -> None:
    app = make_app(partitions=4)
    tick = work_type(app).every(3600, 1, id="tick").store()
    run = tick.run_now()
    assert run.refresh().partition == "mail"
    assert app.jobs.find(run.id).partition == "mail"
    assert app.recurring.find("tick").last_run is not None


@pytest.mark.parametrize("settings", [{"partitions": 0}, {"partitions": 2000}, {"queue_partitions": {"a": 0}}])
def test_numbers_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="partitions"):
        FastJobs("redis://nowhere", **settings)


def test_numbers_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTJOBS_PARTITIONS", "3")
    monkeypatch.setenv("FASTJOBS_QUEUE_PARTITIONS", "mail:8, a.b:2")
    config = FastJobs("redis://nowhere").config
    assert [config.partitions_of(queue) for queue in ("mail", "a.b", "other")] == [8, 2, 3]
    monkeypatch.setenv("FASTJOBS_QUEUE_PARTITIONS", "mail")
    with pytest.raises(ConfigError, match="a:4,b:2"):
        FastJobs("redis://nowhere")


def test_a_partition_key_is_text() -> None:
    app = FastJobs("redis://nowhere")
    app.job(name="work")(work)
    with pytest.raises(ConfigError, match="partition_key"):
        work_type(app).options(partition_key=7)


def test_names_can_be_taken_apart() -> None:
    for queue in ("mail", "a.b:c"):
        for number in (0, 1, 12):
            name = partition_name(queue, number)
            assert (queue_of(name), number_of(name)) == (queue, number)


def test_the_hash_is_even_and_moves_keys_only_to_new_partitions() -> None:
    keys = [f"key {number}" for number in range(3000)]
    for count in (2, 5, 16):
        spread = Counter(jump_hash(key, count) for key in keys)
        assert set(spread) == set(range(count))
        assert max(spread.values()) < 1.5 * len(keys) / count
        moved = [key for key in keys if jump_hash(key, count) != jump_hash(key, count + 1)]
        assert all(jump_hash(key, count + 1) == count for key in moved)
    for key in keys[:200]:
        assert {jump_hash(key, count) for count in range(1, 17)} == set(earlier_places(key, 16))


def test_a_partition_whose_listing_a_failover_lost_is_listed_again(make_app, monkeypatch):
    app = make_app(partitions=1)
    store = app._store()
    listing = queues_key(app.config.namespace)
    work_type(app).enqueue(1)
    store.batch().command("SREM", listing, "mail").run()
    work_type(app).enqueue(2)
    assert store.batch().command("SMEMBERS", listing).run() == [], "not at each job"
    monkeypatch.setattr(ListedPartitions, "_AGAIN_S", 0.0)
    work_type(app).enqueue(3)
    assert store.batch().command("SMEMBERS", listing).run() == [b"mail"]
    assert used(app) == {"mail": 3}
