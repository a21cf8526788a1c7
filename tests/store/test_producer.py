"""The producer: what is stored when a call returns, raises or is in doubt."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fastjobs import (
    ConfigError,
    EnqueueUnknown,
    FastJobs,
    Job,
    JobIdConflict,
    NotEnqueued,
    PayloadError,
    PayloadTooLarge,
    Status,
)
from fastjobs.jobtypes import JobType
from fastjobs.store.keys import queues_key
from tests.harness.proxy import Behaviour, Proxy
from tests.harness.queue import QueueUnderTest
from tests.harness.server import ServerProcess
from tests.harness.snapshot import jobs_of
from tests.harness.waiting import wait_until

#: Makes an app, by default at the shared server.
MakeApp = Callable[..., FastJobs]


def work(*args: Any, **kwargs: Any) -> None:
    """Never run here."""


def job_type(app: FastJobs, name: str = "work", **options: Any) -> JobType[..., None]:
    return app.job(name=name, **options)(work)


@pytest.fixture
def make_app(server: ServerProcess, namespace: str) -> Iterator[MakeApp]:
    apps = []

    def make(url: str | None = None, **settings: Any) -> FastJobs:
        app = FastJobs(url or server.url, namespace=namespace, **settings)
        apps.append(app)
        return app

    yield make
    for app in apps:
        app.close()


@pytest.fixture
def queue(server: ServerProcess, namespace: str) -> Iterator[QueueUnderTest]:
    """The queue the apps of the test use."""
    queue = QueueUnderTest(server.url, namespace)
    yield queue
    queue.snapshot()
    queue.close()


@pytest.fixture
def proxy(server: ServerProcess) -> Iterator[Proxy]:
    with Proxy(server.socket) as process:
        yield process


def arguments(app: FastJobs, job_ids: Any) -> list[Any]:
    return [(app.jobs.find(job_id).args, app.jobs.find(job_id).kwargs) for job_id in job_ids]


# Stored.


def test_a_job_that_was_enqueued_is_found_with_its_arguments(make_app: MakeApp, queue: QueueUnderTest) -> None:
    app = make_app()
    job = job_type(app, priority=3).enqueue(1, "two", three=[4.5, None, {"five": True}])
    assert isinstance(job, Job)
    assert queue.get_ready() == [f"{job.id}~000"]
    found = app.jobs.find(job.id)
    assert (found.status, found.type, found.priority) == (Status.QUEUED, "work", 3)
    assert (found.args, found.kwargs) == ([1, "two"], {"three": [4.5, None, {"five": True}]})


def test_items_become_arguments_by_their_kind(make_app: MakeApp) -> None:
    app = make_app()
    ids = job_type(app).enqueue_many([(1, 2), {"x": 1}, [1, 2], "text", None, ()])
    assert arguments(app, ids) == [
        ([1, 2], {}),
        ([], {"x": 1}),
        ([[1, 2]], {}),
        (["text"], {}),
        ([None], {}),
        ([], {}),
    ]


@pytest.mark.parametrize("number", [0, 1, 999, 1000, 1001, 2500])
@pytest.mark.parametrize("kind", [list, iter])
def test_as_many_jobs_are_stored_as_items_were_given(
    make_app: MakeApp, queue: QueueUnderTest, number: int, kind: Any
) -> None:
    ids = job_type(make_app()).enqueue_many(kind(range(number)))
    assert len(ids) == number
    assert queue.counts() == ({"queued": number} if number else {})
    assert queue.get_ready() == [job_id if "~" in job_id else f"{job_id}~000" for job_id in ids]


def test_chunks_are_cut_by_jobs_and_by_bytes(make_app: MakeApp, queue: QueueUnderTest) -> None:
    job_type(make_app(chunk_jobs=10)).enqueue_many(range(25))
    assert queue.raw.hlen(queue.keys.chunks) == 3
    job_type(make_app(chunk_bytes=100)).enqueue_many(["x" * 60] * 4)
    assert queue.raw.hlen(queue.keys.chunks) == 5


def test_ids_are_lazy_and_behave_like_a_list(make_app: MakeApp) -> None:
    ids = job_type(make_app(chunk_jobs=7)).enqueue_many(range(20))
    as_list = list(ids)
    assert len(set(as_list)) == len(ids) == 20
    assert ids[0] == as_list[0] and ids[-1] == as_list[-1] and ids[19] == as_list[19]
    assert ids[5:15:3] == as_list[5:15:3]
    assert ids[::-1] == as_list[::-1]
    assert ids[30:] == []
    assert as_list[13] in ids and "other" not in ids
    for outside in (20, -21):
        with pytest.raises(IndexError):
            ids[outside]
    assert repr(ids).startswith("<JobIds: 20 from ")


def test_a_million_ids_are_kept_as_a_thousand(make_app: MakeApp) -> None:
    ids = job_type(make_app(chunk_jobs=100)).enqueue_many(range(10_000))
    assert len(ids._chunks) == len(ids._ends) == 100


def test_each_queue_that_is_used_is_listed(make_app: MakeApp) -> None:
    app = make_app()
    kind = job_type(app)
    kind.options(queue="b").enqueue()
    app.enqueue_many([kind.options(queue="c").call(), kind.options(queue="a").call()])
    assert app.jobs.queues() == ["a", "b", "c"]


# Input that ends in an error.


def test_a_generator_that_raises_leaves_what_it_gave_before_in_whole_chunks(
    make_app: MakeApp, queue: QueueUnderTest
) -> None:
    def items() -> Iterator[int]:
        yield from range(25)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more") as caught:
        job_type(make_app(chunk_jobs=10)).enqueue_many(items())
    assert caught.value.__notes__ == ["fastjobs: 20 jobs were enqueued before this"]
    assert queue.counts() == {"queued": 20}


def test_an_item_that_cannot_be_stored_is_named_and_nothing_is_half_written(
    make_app: MakeApp, queue: QueueUnderTest
) -> None:
    app = make_app(chunk_jobs=10)
    with pytest.raises(PayloadError, match=r"args\[0\]") as caught:
        job_type(app).enqueue_many(object() if index == 27 else index for index in range(100))
    assert caught.value.index == 27
    assert caught.value.enqueued is not None
    assert arguments(app, caught.value.enqueued) == [([index], {}) for index in range(20)]
    assert queue.counts() == {"queued": 20}


def test_after_a_bad_item_the_same_thread_enqueues_as_if_nothing_had_been(
    make_app: MakeApp, queue: QueueUnderTest
) -> None:
    app = make_app()
    kind = job_type(app)
    with pytest.raises(PayloadError):
        kind.enqueue_many([1, 2, {3: 4}])
    ids = kind.enqueue_many([5, 6])
    assert arguments(app, ids) == [([5], {}), ([6], {})]
    assert queue.counts() == {"queued": 2}


def test_a_bad_call_among_mixed_ones_is_named(make_app: MakeApp, queue: QueueUnderTest) -> None:
    app = make_app(chunk_jobs=2)
    kind = job_type(app)
    calls = [kind.call(index) for index in range(5)]
    calls.insert(5, kind.call(float("nan")))
    with pytest.raises(PayloadError) as caught:
        app.enqueue_many(calls)
    assert caught.value.index == 5
    assert caught.value.enqueued is not None
    assert arguments(app, caught.value.enqueued) == [([index], {}) for index in range(4)]
    assert queue.counts() == {"queued": 4}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("inf"), "NaN and infinity"),
        (2**64, "beyond 64 bits"),
        ({1: 2}, "keys must be str"),
        ("\ud800", "lone surrogate"),
        (b"x", "type bytes"),
        ({1, 2}, "type set"),
    ],
)
def test_values_that_cannot_be_stored_exactly_are_refused(
    make_app: MakeApp, queue: QueueUnderTest, value: object, message: str
) -> None:
    with pytest.raises(PayloadError, match=message):
        job_type(make_app()).enqueue(value)
    assert queue.stored() == {"stats": {}}


def test_arguments_that_are_too_large_are_refused(make_app: MakeApp, queue: QueueUnderTest) -> None:
    kind = job_type(make_app(max_payload_bytes=100))
    kind.enqueue("x" * 90)
    with pytest.raises(PayloadTooLarge):
        kind.enqueue("x" * 100)
    assert queue.counts() == {"queued": 1}


# Mixed calls.


def test_ids_of_mixed_calls_come_in_the_order_of_the_calls(make_app: MakeApp, queue: QueueUnderTest) -> None:
    app = make_app(chunk_jobs=5)
    one, other = job_type(app, "one", queue="left"), job_type(app, "other", queue="right", priority=2)
    calls = [(one if index % 3 else other).call(index) for index in range(40)]
    ids = app.enqueue_many(calls)
    assert len(ids) == 40
    assert arguments(app, ids) == [([index], {}) for index in range(40)]
    assert [app.jobs.find(job_id).type for job_id in ids] == ["one" if i % 3 else "other" for i in range(40)]
    assert ids[3:30:4] == [ids[index] for index in range(3, 30, 4)]
    assert list(ids)[-1] == ids[-1]
    with pytest.raises(IndexError):
        ids[40]


def test_mixed_calls_keep_their_order_within_queue_and_priority(make_app: MakeApp, queue: QueueUnderTest) -> None:
    app = make_app(chunk_jobs=4)
    kinds = [job_type(app, f"kind{number}") for number in range(3)]
    calls = [kinds[index % 3].options(priority=index % 2).call(index) for index in range(30)]
    ids = app.enqueue_many(calls)
    line = [job_id if "~" in job_id else f"{job_id}~000" for job_id in ids]
    assert queue.get_ready() == [line[index] for index in (*range(1, 30, 2), *range(0, 30, 2))]


def test_more_types_than_a_chunk_can_name_are_spread_over_chunks(make_app: MakeApp, queue: QueueUnderTest) -> None:
    app = make_app()
    kinds = [job_type(app, f"kind{number}") for number in range(300)]
    ids = app.enqueue_many(kind.call(number) for number, kind in enumerate(kinds))
    assert queue.raw.hlen(queue.keys.chunks) == 2
    assert [app.jobs.find(ids[number]).type for number in (0, 254, 255, 299)] == [
        "kind0",
        "kind254",
        "kind255",
        "kind299",
    ]
    assert queue.get_ready() == list(ids)


def test_more_lines_than_chunks_can_be_open_are_all_stored(make_app: MakeApp, queue: QueueUnderTest) -> None:
    app = make_app()
    kind = job_type(app)
    ids = app.enqueue_many(kind.options(priority=index % 100).call(index) for index in range(300))
    assert queue.counts() == {"queued": 300}
    assert arguments(app, ids[::50]) == [([index], {}) for index in range(0, 300, 50)]


def test_a_call_with_an_id_of_its_own_gets_it(make_app: MakeApp, queue: QueueUnderTest) -> None:
    app = make_app()
    kind = job_type(app)
    ids = app.enqueue_many([kind.call(0), kind.options(job_id="mine").call(1), kind.call(2)])
    assert ids[1] == "mine"
    assert arguments(app, ids) == [([index], {}) for index in range(3)]


def test_calls_with_due_times_are_scheduled(make_app: MakeApp, queue: QueueUnderTest) -> None:
    app = make_app()
    kind = job_type(app)
    at = datetime.now(UTC) + timedelta(hours=1)
    app.enqueue_many([kind.options(delay=60).call(), kind.call(), kind.options(at=at).call()])
    assert queue.counts() == {"scheduled": 2, "queued": 1}


# Chosen ids.


def test_the_same_job_enqueued_again_is_the_same(make_app: MakeApp, queue: QueueUnderTest) -> None:
    kind = job_type(make_app()).options(job_id="mine")
    assert kind.enqueue(1, x=2).id == kind.enqueue(1, x=2).id == "mine"
    assert queue.counts() == {"queued": 1}


def test_another_job_under_a_taken_id_is_a_conflict(make_app: MakeApp, queue: QueueUnderTest) -> None:
    kind = job_type(make_app()).options(job_id="mine")
    kind.enqueue(1)
    with pytest.raises(JobIdConflict, match="mine") as caught:
        kind.enqueue(2)
    assert caught.value.job_id == "mine"
    assert queue.counts() == {"queued": 1}


def test_a_conflict_among_mixed_calls_leaves_the_others_stored(make_app: MakeApp, queue: QueueUnderTest) -> None:
    app = make_app()
    kind = job_type(app)
    kind.options(job_id="mine").enqueue(1)
    with pytest.raises(JobIdConflict):
        app.enqueue_many([kind.options(job_id="mine").call(2), kind.options(job_id="new").call(3), kind.call(4)])
    assert queue.counts() == {"queued": 3}
    # The replies behind the conflict are not taken for those to the next calls.
    assert app.jobs.count(Status.QUEUED) == 3
    assert kind.options(job_id="mine").enqueue(1).id == "mine"


@pytest.mark.parametrize("state", ["retrying", "failed"])
def test_a_job_that_left_its_chunk_is_compared_with_its_record(
    make_app: MakeApp, queue: QueueUnderTest, state: str
) -> None:
    app = make_app()
    kind = job_type(app).options(job_id="mine", retries=2)
    kind.enqueue(0)
    held = queue.fetch(queue.open(), 1)
    outcome = queue.outcome("mine", 0, state, delay_ms=60_000)
    record = outcome.record.replace(b'"options":{}', b'"options":{"retries":2}')
    assert queue.ack(held, (), [outcome._replace(record=record)]) == 1
    assert kind.enqueue(0).id == "mine"
    assert list(app.enqueue_many([kind.call(0), kind.options(job_id="new").call(0)])) == ["mine", "new"]
    others = [
        kind.call(1),
        kind.options(retries=3).call(0),
        job_type(app, "other").options(job_id="mine", retries=2).call(0),
    ]
    for other in others:
        with pytest.raises(JobIdConflict):
            app._enqueuing.enqueue(other)
        with pytest.raises(JobIdConflict):
            app.enqueue_many([other])
    assert queue.counts() == {state: 1, "queued": 1}


def test_job_id_is_for_one_job(make_app: MakeApp, queue: QueueUnderTest) -> None:
    with pytest.raises(ConfigError, match="job_id is for one job"):
        job_type(make_app()).options(job_id="mine").enqueue_many([1])
    assert queue.counts() == {}


# Refused.


def test_a_full_server_refuses_and_it_is_told_what_was_stored(namespace: str) -> None:
    with ServerProcess() as server:
        app = FastJobs(server.url, namespace=namespace, chunk_jobs=10)
        queue = QueueUnderTest(server.url, namespace)
        kind = job_type(app)

        def items() -> Iterator[int]:
            yield from range(150)
            queue.raw.config_set("maxmemory", 1)
            yield from range(150, 1000)

        with pytest.raises(NotEnqueued, match="OOM") as caught:
            kind.enqueue_many(items())
        stored = list(caught.value.enqueued)
        queue.raw.config_set("maxmemory", 0)
        assert 60 <= len(stored) <= 150
        assert queue.get_ready() == stored
        assert arguments(app, stored) == [([index], {}) for index in range(len(stored))]
        # The refusal did not cost the connection: the next call goes on with it.
        assert kind.enqueue().id
        queue.raw.config_set("maxmemory", 1)
        with pytest.raises(NotEnqueued) as single:
            kind.enqueue()
        assert list(single.value.enqueued) == []
        queue.close()
        app.close()


def test_a_server_that_stays_read_only_past_the_budget_refuses(namespace: str) -> None:
    with ServerProcess() as server:
        app = FastJobs(server.url, namespace=namespace, retry_budget_s=0.3)
        queue = QueueUnderTest(server.url, namespace)
        queue.raw.replicaof("127.0.0.1", "1")
        with pytest.raises(NotEnqueued, match="READONLY"):
            job_type(app).enqueue()
        queue.raw.replicaof("NO", "ONE")
        assert queue.counts() == {}
        assert job_type(app).enqueue().id
        queue.close()
        app.close()


def test_no_server_past_the_budget_refuses(namespace: str, tmp_path: Any) -> None:
    app = FastJobs(f"unix://{tmp_path}/nothing", namespace=namespace, retry_budget_s=0.2)
    with pytest.raises(NotEnqueued, match="no connection"):
        job_type(app).enqueue()


# In doubt.


@pytest.mark.parametrize(
    "behaviour",
    [Behaviour.CUT_AFTER_REQUEST, Behaviour.CUT_BEFORE_REQUEST, Behaviour.RESET, Behaviour.HALF_CLOSE],
)
def test_a_lost_reply_is_asked_for_again_and_the_job_is_there_once(
    make_app: MakeApp, queue: QueueUnderTest, proxy: Proxy, behaviour: Behaviour
) -> None:
    kind = job_type(make_app(proxy.url))
    kind.enqueue("first")
    proxy.behave(behaviour, 1)
    job = kind.enqueue("second")
    assert proxy.harmed == 1
    assert queue.counts() == {"queued": 2}
    assert queue.get_ready()[-1] == f"{job.id}~000"


def test_a_tcp_reset_in_place_of_a_reply_costs_no_job(
    make_app: MakeApp, queue: QueueUnderTest, server: ServerProcess
) -> None:
    with Proxy(server.socket, tcp=True) as proxy:
        kind = job_type(make_app(proxy.url))
        kind.enqueue()
        proxy.behave(Behaviour.RESET, 1)
        kind.enqueue()
        assert proxy.harmed == 1
    assert queue.counts() == {"queued": 2}


@pytest.mark.parametrize("lost", [1, 2, 5])
def test_a_bulk_enqueue_over_a_bad_line_stores_each_job_once_and_in_order(
    make_app: MakeApp, queue: QueueUnderTest, proxy: Proxy, lost: int
) -> None:
    app = make_app(proxy.url, chunk_jobs=10)

    def items() -> Iterator[int]:
        for index in range(400):
            if index == 155:
                proxy.behave(Behaviour.CUT_AFTER_REQUEST, lost)
            yield index

    ids = job_type(app).enqueue_many(items())
    assert proxy.harmed >= lost
    assert len(ids) == 400
    assert sorted(queue.get_ready()) == sorted(ids)
    assert queue.counts() == {"queued": 400}


def test_replies_in_drips_and_with_delays_are_read(make_app: MakeApp, queue: QueueUnderTest, proxy: Proxy) -> None:
    app = make_app(proxy.url)
    proxy.behave(Behaviour.DRIP)
    proxy.delay_replies(0.01)
    ids = job_type(app).enqueue_many(range(50))
    assert app.jobs.find(ids[7]).args == [7]
    assert queue.counts() == {"queued": 50}


def test_no_answer_within_the_budget_is_in_doubt_and_asking_again_makes_sure(
    make_app: MakeApp, queue: QueueUnderTest, proxy: Proxy
) -> None:
    app = make_app(proxy.url, retry_budget_s=0.3, socket_timeout_s=0.2)
    kind = job_type(app)
    kind.enqueue("before")
    proxy.behave(Behaviour.BLACKHOLE)
    with pytest.raises(EnqueueUnknown) as caught:
        kind.enqueue("in doubt")
    (job_id,) = caught.value.ids
    assert list(caught.value.enqueued) == []
    proxy.heal()
    assert kind.options(job_id=job_id).enqueue("in doubt").id == job_id
    assert queue.counts() == {"queued": 2}


def test_of_a_bulk_enqueue_in_doubt_each_id_is_either_stored_or_in_doubt(
    make_app: MakeApp, queue: QueueUnderTest, proxy: Proxy
) -> None:
    app = make_app(proxy.url, chunk_jobs=1, retry_budget_s=0.3, socket_timeout_s=0.2)

    def items() -> Iterator[int]:
        for index in range(100):
            if index == 20:
                proxy.behave(Behaviour.BLACKHOLE)
            yield index

    kind = job_type(app)
    with pytest.raises(EnqueueUnknown) as caught:
        kind.enqueue_many(items())
    stored, unknown = list(caught.value.enqueued), list(caught.value.ids)
    proxy.heal()
    assert not set(stored) & set(unknown)
    assert 11 <= len(stored) <= 20
    assert {job for ref in stored for job in jobs_of(ref)} <= set(queue.get_ready())
    for number, job_id in enumerate(unknown, len(stored)):
        kind.options(job_id=job_id).enqueue(number)
    assert sorted(queue.get_ready()) == sorted(f"{job_id}~000" for job_id in stored + unknown)


def test_an_interrupt_while_waiting_leaves_no_stale_reply(
    make_app: MakeApp, queue: QueueUnderTest, proxy: Proxy
) -> None:
    """Ctrl-C in a prompt: what is asked next is answered for itself, not with what came late."""

    class Interrupted(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    app = make_app(proxy.url)
    kind = job_type(app)
    kind.enqueue()
    proxy.delay_replies(0.3)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Interrupted):
            kind.enqueue()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    proxy.delay_replies(0)
    assert app.jobs.count(Status.QUEUED) == 2
    assert app.jobs.queues() == ["default"]


# Durability.


def test_fsync_returns_once_the_job_is_on_disk(server: ServerProcess, make_app: MakeApp, queue: QueueUnderTest) -> None:
    app = make_app(durability="fsync")
    if not server.has_command("WAITAOF"):
        with pytest.raises(ConfigError, match="needs WAITAOF"):
            job_type(app).enqueue()
        assert queue.counts() == {}
        return
    # The first call over a connection asks whether the server can do it.
    job_type(app).enqueue_many([])
    job_type(app).enqueue()
    synced = queue.raw.info("commandstats").get("cmdstat_waitaof", {"calls": 0})["calls"]
    job_type(app).enqueue_many(range(2500))
    # One wait for all chunks.
    assert queue.raw.info("commandstats")["cmdstat_waitaof"]["calls"] == synced + 1
    assert queue.counts() == {"queued": 2501}


def test_whether_a_server_can_sync_is_asked_once_per_connection(
    server: ServerProcess, make_app: MakeApp, queue: QueueUnderTest
) -> None:
    if not server.has_command("WAITAOF"):
        pytest.skip("this server cannot")
    app = make_app(durability="fsync")
    before = queue.raw.info("commandstats").get("cmdstat_waitaof", {"calls": 0})["calls"]
    for _ in range(3):
        for _ in range(5):
            job_type(app).enqueue()
        app.close()
    assert queue.raw.info("commandstats")["cmdstat_waitaof"]["calls"] == before + 3 * (1 + 5)


def test_chunks_stored_over_a_connection_that_was_lost_are_sent_again_before_they_count_as_safe(
    server: ServerProcess, make_app: MakeApp, queue: QueueUnderTest
) -> None:
    with (
        ServerProcess() as replica,
        replica.client() as other,
        Proxy(server.socket) as proxy,
        Proxy(server.socket, tcp=True) as way,
    ):
        other.execute_command("REPLICAOF", "127.0.0.1", way.url.rpartition(":")[2])
        # Its own word: the primary counts a replica as online that still loads what it was sent.
        wait_until(lambda: other.info("replication")["master_link_status"] == "up", 20, "the replica is in sync")
        enqueues: list[bytes] = []
        waits: list[bytes] = []

        def watch(data: bytes) -> None:
            if b"\r\nWAIT\r\n" in data:
                waits.append(data)
                # The first one never arrives: by now, another server might be behind the name.
                proxy.behave(Behaviour.CUT_BEFORE_REQUEST if len(waits) == 1 else Behaviour.PASS, 1)
            elif b"order-4711" in data:
                enqueues.append(data)

        proxy.watch = watch
        app = make_app(url=proxy.url, durability="replicated", socket_timeout_s=2.0)
        job_type(app).options(job_id="order-4711").enqueue()
        assert len(waits) == 3, "lost; of another connection; after the chunk was sent again"
        assert len(enqueues) == 2
        assert queue.counts() == {"queued": 1}


@pytest.mark.parametrize("lack", [("--appendonly", "no"), ("--rename-command", "WAITAOF", "")], ids=["log", "command"])
def test_fsync_on_a_server_that_lacks_what_it_needs_is_refused_before_anything_is_stored(
    server: ServerProcess, namespace: str, lack: tuple[str, ...]
) -> None:
    """Fault B31."""
    if lack[1] == "WAITAOF" and not server.has_command("WAITAOF"):
        # No need to take away what is not there.
        lack = ()
    with ServerProcess(*lack) as lacking:
        app = FastJobs(lacking.url, namespace=namespace, durability="fsync")
        kind = job_type(app)
        enqueues: list[Callable[[], object]] = [
            kind.enqueue,
            kind.options(job_id="chosen").enqueue,
            lambda: kind.enqueue_many([()] * 2500),
            lambda: app.enqueue_many(kind.options(priority=number).call() for number in range(10)),
            lambda: buffered(app, kind),
        ]
        for enqueue in enqueues:
            with pytest.raises(ConfigError, match="nothing was enqueued"):
                enqueue()
        with lacking.client() as raw:
            assert raw.keys("*") == []
            raw.config_set("appendonly", "yes")
        if lack[:1] == ("--appendonly",) and lacking.has_command("WAITAOF"):
            # What was refused is no obstacle once the server can do it.
            kind.enqueue()
            assert app.jobs.count(Status.QUEUED) == 1
        app.close()


def test_fsync_waits_for_a_replica_to_become_the_primary(namespace: str) -> None:
    with ServerProcess() as server, server.client() as raw:
        if not server.has_command("WAITAOF"):
            pytest.skip("this server cannot")
        raw.replicaof("127.0.0.1", "1")
        app = FastJobs(server.url, namespace=namespace, durability="fsync")

        def promote() -> None:
            refused = "errorstat_ERR"
            wait_until(lambda: refused in raw.info("errorstats"), 20, "the server was asked")
            raw.replicaof("NO", "ONE")

        promoting = threading.Thread(target=promote)
        promoting.start()
        job_type(app).enqueue()
        promoting.join()
        assert app.jobs.count(Status.QUEUED) == 1
        app.close()


def buffered(app: FastJobs, kind: JobType[[], None]) -> None:
    with app.buffered():
        kind.enqueue()


def test_replicated_returns_once_a_replica_has_the_job_and_is_in_doubt_without_one(namespace: str) -> None:
    with ServerProcess() as server, ServerProcess() as replica:
        app = FastJobs(server.url, namespace=namespace, durability="replicated", socket_timeout_s=1.0)
        queue = QueueUnderTest(server.url, namespace)
        kind = job_type(app)
        with pytest.raises(EnqueueUnknown, match="only 0") as caught:
            kind.options(job_id="alone").enqueue()
        assert list(caught.value.ids) == list(caught.value.enqueued) == ["alone"]
        assert queue.counts() == {"queued": 1}
        # Replication needs TCP: the primary listens on a loopback port from now on.
        port = _free_port()
        queue.raw.config_set("port", port)
        with replica.client() as client:
            client.replicaof("127.0.0.1", str(port))
            wait_until(lambda: client.info("replication")["master_link_status"] == "up", 20, "the replica is in sync")
            kind.options(job_id="copied").enqueue()
            assert client.hexists(queue.keys.chunks, "copied")
            client.replicaof("NO", "ONE")
        queue.close()
        app.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


# Threads, forks, generators.


def test_threads_enqueue_side_by_side(make_app: MakeApp, queue: QueueUnderTest) -> None:
    app = make_app(chunk_jobs=10)
    kind = job_type(app)
    found: dict[int, list[str]] = {}

    def enqueue(number: int) -> None:
        found[number] = list(kind.enqueue_many((number, index) for index in range(200)))
        found[number].append(kind.enqueue(number, 200).id)
        app.close()

    threads = [threading.Thread(target=enqueue, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert queue.counts() == {"queued": 4 * 201}
    for number, ids in found.items():
        assert arguments(app, ids[::40]) == [([number, index], {}) for index in range(0, 201, 40)]


def test_a_fork_after_use_leaves_both_sides_working(make_app: MakeApp, queue: QueueUnderTest) -> None:
    app = make_app()
    kind = job_type(app)
    kind.enqueue("before")
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            ids = kind.enqueue_many(("child", index) for index in range(1500))
            os.write(writer, ids[0].encode())
            code = 0
        finally:
            os._exit(code)
    ids = kind.enqueue_many(("parent", index) for index in range(1500))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    childs_first = os.read(reader, 100).decode()
    os.close(reader)
    os.close(writer)
    assert queue.counts() == {"queued": 3001}
    assert arguments(app, [childs_first, ids[0]]) == [(["child", 0], {}), (["parent", 0], {})]


def test_ids_of_parent_and_child_differ(make_app: MakeApp, queue: QueueUnderTest) -> None:
    kind = job_type(make_app())
    kind.enqueue()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            for _ in range(50):
                kind.enqueue("child")
            code = 0
        finally:
            os._exit(code)
    for _ in range(50):
        kind.enqueue("parent")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert queue.counts() == {"queued": 101}


def test_a_generator_may_enqueue_and_look_up_while_it_is_being_enqueued(
    make_app: MakeApp, queue: QueueUnderTest
) -> None:
    app = make_app(chunk_jobs=10)
    kind = job_type(app)
    inner = []

    def items() -> Iterator[tuple[str, int]]:
        for index in range(100):
            if index % 15 == 14:
                inner.append(kind.enqueue("inner", index).id)
                assert app.jobs.find(inner[-1]).args == ["inner", index]
                assert isinstance(app.jobs.queues(), list)
            yield ("outer", index)

    ids = kind.enqueue_many(items())
    assert queue.counts() == {"queued": 106}
    assert arguments(app, [*inner[:1], *ids[::33]]) == [
        (["inner", 14], {}),
        *((["outer", index], {}) for index in range(0, 100, 33)),
    ]


def test_mixed_calls_may_enqueue_mixed_calls(make_app: MakeApp, queue: QueueUnderTest) -> None:
    app = make_app(chunk_jobs=3)
    kind = job_type(app)

    def calls() -> Iterator[Any]:
        for index in range(10):
            app.enqueue_many([kind.call("inner", index)])
            yield kind.call("outer", index)

    ids = app.enqueue_many(calls())
    assert arguments(app, ids) == [(["outer", index], {}) for index in range(10)]
    assert queue.counts() == {"queued": 20}


def test_an_endless_generator_is_read_only_as_fast_as_jobs_are_stored(
    make_app: MakeApp, queue: QueueUnderTest, proxy: Proxy
) -> None:
    app = make_app(proxy.url, chunk_jobs=10, retry_budget_s=0.2, socket_timeout_s=0.2)
    read = 0

    def endless() -> Iterator[int]:
        nonlocal read
        while True:
            read += 1
            if read == 1000:
                proxy.behave(Behaviour.BLACKHOLE)
            yield read

    with pytest.raises(EnqueueUnknown) as caught:
        job_type(app).enqueue_many(endless())
    assert read < 1000 + 12 * 10
    proxy.heal()
    assert len(caught.value.enqueued) >= 900


def test_a_closed_app_opens_again_when_it_is_used(make_app: MakeApp, queue: QueueUnderTest) -> None:
    app = make_app()
    kind = job_type(app)
    kind.enqueue()
    app.close()
    app.close()
    kind.enqueue()
    assert queue.counts() == {"queued": 2}


def test_a_server_that_restarts_in_between_is_found_again(namespace: str) -> None:
    with ServerProcess() as server:
        app = FastJobs(server.url, namespace=namespace)
        kind = job_type(app)
        kind.enqueue()
        server.kill()
        restarter = threading.Timer(0.2, server.start)
        restarter.start()
        kind.enqueue()
        restarter.join(30)
        assert app.jobs.count(Status.QUEUED) == 2
        app.close()


@pytest.mark.parametrize("many", [False, True])
def test_a_queue_is_listed_again_when_a_connection_was_lost(
    make_app: MakeApp, queue: QueueUnderTest, many: bool
) -> None:
    """A server that was killed may have lost the list, and kept the jobs that were stored before it."""
    app = make_app()
    kind = job_type(app)
    kind.enqueue()
    queue.raw.delete(queues_key(app.config.namespace))
    queue.raw.client_kill_filter(_type="normal")
    if many:
        kind.enqueue_many(range(10))
    else:
        kind.enqueue()
    assert app.jobs.count(Status.QUEUED) == (11 if many else 2)


def test_a_queue_whose_first_enqueue_was_refused_is_listed_when_a_later_one_is_stored(namespace: str) -> None:
    with ServerProcess() as server:
        app = FastJobs(server.url, namespace=namespace)
        queue = QueueUnderTest(server.url, namespace)
        kind = job_type(app, queue="late")
        queue.raw.config_set("maxmemory", 1)
        with pytest.raises(NotEnqueued):
            kind.enqueue()
        queue.raw.config_set("maxmemory", 0)
        kind.enqueue()
        assert app.jobs.queues() == ["late"]
        queue.close()
        app.close()
