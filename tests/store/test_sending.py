"""Sending again: what was stored once is not stored again, also when it is over and forgotten; the order is kept."""

from __future__ import annotations

import json
import os
import pickle
import random
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fastjobs import EnqueueUnknown, FastJobs, JobError, JobIdConflict, NotEnqueued, PayloadError
from fastjobs._core import Chunk
from fastjobs.jobtypes import JobType
from fastjobs.model.record import JobRecord
from fastjobs.producing.listed_partitions import ListedPartitions
from fastjobs.store.keys import queues_key
from fastjobs.store.replies import Stored
from tests.harness.proxy import Behaviour, Proxy
from tests.harness.queue import QueueUnderTest, origin
from tests.harness.server import ServerProcess
from tests.harness.waiting import wait_until
from tests.store.conftest import MakeQueue

#: Makes an app, by default at the shared server.
MakeApp = Callable[..., FastJobs]


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
def forgetful(make_queue: MakeQueue) -> QueueUnderTest:
    """The queue the apps of the test use; it keeps no history."""
    return make_queue(finished_keep=0, failed_keep=0)


@pytest.fixture
def proxy(server: ServerProcess) -> Iterator[Proxy]:
    with Proxy(server.socket) as process:
        yield process


def job_type(app: FastJobs) -> JobType[..., None]:
    def work(*args: Any, **kwargs: Any) -> None:
        """Never run here."""

    return app.job(name="work")(work)


def stored_in_all(queue: QueueUnderTest) -> int:
    """How many jobs were ever stored."""
    return int(queue.raw.hget(queue.keys.stats, "enqueued_total") or 0)


def calls_of_scripts(queue: QueueUnderTest) -> int:
    return int(queue.raw.info("commandstats")["cmdstat_evalsha"]["calls"])


# The script.


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("chosen", [False, True])
@pytest.mark.parametrize("number", [1, 2, 64, 65, 66, 1000])
def test_a_chunk_sent_again_is_not_stored_again_when_it_is_forgotten(
    forgetful: QueueUnderTest, n: int, chosen: bool, number: int
) -> None:
    sent_as = origin(number, chosen=chosen)
    assert forgetful.try_enqueue(n, chunk_id="c", sent_as=sent_as).is_new
    assert len(forgetful.drain(forgetful.open())) == n
    assert forgetful.try_enqueue(n, chunk_id="c", sent_as=sent_as) is Stored.EXISTING
    assert forgetful.counts() == {}
    assert stored_in_all(forgetful) == n


@pytest.mark.parametrize("seed", range(8))
def test_numbers_in_any_order_are_each_stored_once(forgetful: QueueUnderTest, seed: int) -> None:
    draw = random.Random(seed)
    sender, session = origin().sender, forgetful.open()
    numbers = [number for number in draw.sample(range(1, 140), 90) for _ in range(2)]
    # Each is close to where it was sent, as chunks in flight are.
    numbers.sort(key=lambda number: number + draw.uniform(0, 9))
    met: set[int] = set()
    for number in numbers:
        result = forgetful.try_enqueue(
            chunk_id=f"c{number}", sent_as=origin(number, sender=sender, chosen=draw.random() < 0.3)
        )
        assert result.is_new if number not in met else result is Stored.EXISTING, number
        met.add(number)
        if draw.random() < 0.5:
            forgetful.drain(session)
    assert stored_in_all(forgetful) == 90


def test_a_new_call_under_a_chosen_id_is_stored_again_once_its_job_is_forgotten(forgetful: QueueUnderTest) -> None:
    """Only the same call is recognised: an id may be used again."""
    sender, session = origin().sender, forgetful.open()
    for number in range(1, 4):
        assert forgetful.try_enqueue(chunk_id="mine", sent_as=origin(number, sender=sender)).is_new
        forgetful.drain(session)


def test_an_entry_that_cannot_be_read_stops_nobody(forgetful: QueueUnderTest) -> None:
    for number, entry in enumerate((b"", b"x", b"1 2 3", b"9 9 a+1", b"1 -2", b"\xff", b"1 5 +++"), 1):
        forgetful.raw.hset(forgetful.keys.senders, "s", entry)
        assert forgetful.try_enqueue(chunk_id=f"c{number}", sent_as=origin(1, sender="s")).is_new
    forgetful.raw.hset(forgetful.keys.senders, "s", b"x")
    forgetful.raw.hset(forgetful.keys.stats, "senders_cursor", b"-9x")
    assert forgetful.store.batch().trim(forgetful.name).run() == 0
    assert not forgetful.raw.exists(forgetful.keys.senders)


def test_senders_are_forgotten_in_bounded_steps_and_those_in_use_are_kept(forgetful: QueueUnderTest) -> None:
    now_ms = forgetful.server_ms()
    old = {f"old{number}": f"{now_ms - 1} {number} 1+1" for number in range(5000)}
    forgetful.raw.hset(forgetful.keys.senders, mapping=old)
    forgetful.enqueue()
    scanned: list[int] = []

    def step() -> bool:
        before = forgetful.raw.hlen(forgetful.keys.senders)
        assert forgetful.store.batch().trim(forgetful.name).run() == 0
        scanned.append(before - forgetful.raw.hlen(forgetful.keys.senders))
        return forgetful.raw.hlen(forgetful.keys.senders) == 1

    wait_until(step, 20, "all but one are forgotten")
    assert max(scanned) < 1500
    (kept,) = forgetful.raw.hvals(forgetful.keys.senders)
    assert 3_590_000 < int(kept.split()[0]) - now_ms < 3_700_000


def test_a_sender_is_remembered_for_longer_than_it_tries(make_app: MakeApp, forgetful: QueueUnderTest) -> None:
    job_type(make_app(retry_budget_s=86_400.0)).enqueue()
    (kept,) = forgetful.raw.hvals(forgetful.keys.senders)
    assert int(kept.split()[0]) - forgetful.server_ms() > 86_400_000 * 1.9


# Producers.


def test_a_lost_reply_does_not_run_a_job_again_that_is_over_and_forgotten(
    make_app: MakeApp, forgetful: QueueUnderTest, proxy: Proxy
) -> None:
    kind = job_type(make_app(proxy.url))
    kind.enqueue("first")
    session = forgetful.open()
    sent: list[bytes] = []
    run: list[str] = []

    def watch(data: bytes) -> None:
        if b"second" in data:
            sent.append(data)
            # Workers are faster than the producer that sends again.
            run.extend(forgetful.drain(session))

    proxy.watch = watch
    proxy.behave(Behaviour.CUT_AFTER_REQUEST, 1)
    job = kind.enqueue("second")
    assert len(sent) == 2
    run += forgetful.drain(session)
    assert [ref.partition("~")[0] for ref in run][1:] == [job.id]
    assert stored_in_all(forgetful) == 2


def test_replies_that_came_before_a_connection_was_closed_are_taken_in(
    make_app: MakeApp, forgetful: QueueUnderTest
) -> None:
    """A slow generator, and a server that closes idle connections."""
    app = make_app(chunk_jobs=10)
    session = forgetful.open()

    def items() -> Iterator[int]:
        yield from range(50)
        wait_until(lambda: stored_in_all(forgetful) == 50, 20, "all that was sent is stored")
        forgetful.drain(session)
        nonlocal calls
        calls = calls_of_scripts(forgetful)
        forgetful.raw.client_kill_filter(_type="normal", skipme=True)
        yield from range(50, 60)

    calls = 0
    ids = job_type(app).enqueue_many(items())
    assert len(ids) == 60
    assert stored_in_all(forgetful) == 60
    assert calls_of_scripts(forgetful) == calls + 1, "nothing was sent again"


@pytest.mark.parametrize("behaviour", [Behaviour.CUT_AFTER_REQUEST, Behaviour.CUT_BEFORE_REQUEST, Behaviour.RESET])
@pytest.mark.parametrize("lost", [1, 2, 5])
def test_a_bulk_keeps_its_order_over_a_bad_line(
    make_app: MakeApp, make_queue: MakeQueue, proxy: Proxy, behaviour: Behaviour, lost: int
) -> None:
    queue = make_queue()
    app = make_app(proxy.url, chunk_jobs=1)

    def items() -> Iterator[int]:
        for index in range(200):
            if index == 55:
                proxy.behave(behaviour, lost)
            yield index

    ids = job_type(app).enqueue_many(items())
    assert proxy.harmed >= lost
    assert queue.get_ready() == [f"{job_id}~000" for job_id in ids]


def test_mixed_calls_keep_their_order_over_a_bad_line(make_app: MakeApp, make_queue: MakeQueue, proxy: Proxy) -> None:
    queue = make_queue()
    app = make_app(proxy.url, chunk_jobs=3)
    kind = job_type(app)

    def calls() -> Iterator[Any]:
        for index in range(100):
            if index == 40:
                proxy.behave(Behaviour.CUT_AFTER_REQUEST, 2)
            yield kind.options(job_id=f"mine{index}").call(index) if index % 5 == 0 else kind.call(index)

    ids = app.enqueue_many(calls())
    ready = queue.get_ready()
    assert sorted(ready) == sorted(job_id if "~" in job_id else f"{job_id}~000" for job_id in ids)
    places = {ref: place for place, ref in enumerate(ready)}
    for stride in ([job_id for job_id in ids if job_id.startswith("mine")], [i for i in ids if "mine" not in i]):
        refs = [job_id if "~" in job_id else f"{job_id}~000" for job_id in stride]
        assert [places[ref] for ref in refs] == sorted(places[ref] for ref in refs)


def test_scripts_that_were_flushed_do_not_change_the_order_of_a_bulk(make_app: MakeApp, make_queue: MakeQueue) -> None:
    queue = make_queue()

    def items() -> Iterator[int]:
        for index in range(100):
            if index in (30, 60):
                queue.raw.script_flush()
            yield index

    ids = job_type(make_app(chunk_jobs=1)).enqueue_many(items())
    assert queue.get_ready() == [f"{job_id}~000" for job_id in ids]


def test_what_is_in_doubt_is_made_certain_by_sending_it_again(
    make_app: MakeApp, forgetful: QueueUnderTest, proxy: Proxy
) -> None:
    app = make_app(proxy.url, chunk_jobs=10, retry_budget_s=0.3, socket_timeout_s=0.2)
    kind = job_type(app)
    session = forgetful.open()

    def items() -> Iterator[int]:
        for index in range(100):
            if index == 40:
                wait_until(lambda: stored_in_all(forgetful) == 40, 20, "what was sent is stored")
                proxy.behave(Behaviour.BLACKHOLE)
            yield index

    with pytest.raises(EnqueueUnknown) as caught:
        kind.enqueue_many(items())
    error = caught.value
    with pytest.raises(EnqueueUnknown) as again:
        error.resend()
    assert list(again.value.ids) == list(error.ids)
    proxy.heal()
    # What arrived is run, and forgotten.
    run = forgetful.drain(session)
    kind.enqueue("another sender")
    certain: list[str] = []
    # Any thread can do it.
    thread = threading.Thread(target=lambda: certain.extend(again.value.resend()))
    thread.start()
    thread.join(20)
    assert certain == list(error.ids)
    assert list(error.resend()) == certain, "and it may be done again"
    run += forgetful.drain(session)
    assert len(run) == len(set(run)) == stored_in_all(forgetful) == len(error.enqueued) + len(error.ids) + 1
    assert {*error.enqueued, *error.ids} <= set(run)


def test_one_job_in_doubt_is_made_certain(make_app: MakeApp, forgetful: QueueUnderTest, proxy: Proxy) -> None:
    app = make_app(proxy.url, retry_budget_s=0.3, socket_timeout_s=0.2)
    kind = job_type(app)
    kind.enqueue("before")
    proxy.behave(Behaviour.BLACKHOLE)
    with pytest.raises(EnqueueUnknown) as caught:
        kind.options(job_id="mine").enqueue("in doubt")
    proxy.heal()
    forgetful.drain(forgetful.open())
    assert list(caught.value.resend()) == ["mine"]
    assert stored_in_all(forgetful) == 2
    assert forgetful.counts() == {}


def test_sending_again_can_be_refused_and_tried_once_more(namespace: str) -> None:
    with ServerProcess() as server, Proxy(server.socket) as proxy:
        app = FastJobs(proxy.url, namespace=namespace, retry_budget_s=0.3, socket_timeout_s=0.2)
        queue = QueueUnderTest(server.url, namespace)
        kind = job_type(app)
        kind.enqueue("before")
        proxy.behave(Behaviour.CUT_BEFORE_REQUEST)
        with pytest.raises(EnqueueUnknown) as caught:
            kind.enqueue("never arrived")
        proxy.heal()
        queue.raw.config_set("maxmemory", 1)
        with pytest.raises(EnqueueUnknown, match="OOM"):
            caught.value.resend()
        queue.raw.config_set("maxmemory", 0)
        assert list(caught.value.resend()) == list(caught.value.ids)
        assert stored_in_all(queue) == 2
        queue.close()
        app.close()


def test_an_error_that_was_pickled_keeps_its_ids_and_cannot_send_again() -> None:
    error = pickle.loads(pickle.dumps(EnqueueUnknown("lost", ["a"], ["b"], lambda: [])))
    assert (str(error), error.ids, error.enqueued) == ("lost", ["a"], ["b"])
    with pytest.raises(JobError, match="only the process"):
        error.resend()


def test_a_forked_process_sends_under_a_name_of_its_own(make_app: MakeApp, forgetful: QueueUnderTest) -> None:
    kind = job_type(make_app())
    kind.enqueue("parent")
    child = os.fork()
    if child == 0:
        try:
            kind.enqueue("child")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    kind.enqueue("parent again")
    entries = sorted(entry.split(b" ", 1)[1] for entry in forgetful.raw.hvals(forgetful.keys.senders))
    assert entries == [b"1", b"2"]
    assert forgetful.counts() == {"queued": 3}


def test_ids_that_are_taken_do_not_pile_up_in_the_entry_of_the_sender(
    make_app: MakeApp, forgetful: QueueUnderTest
) -> None:
    app = make_app()
    kind = job_type(app)
    for number in range(200):
        kind.options(job_id="mine").enqueue()
        kind.enqueue(number)
    assert max(len(entry) for entry in forgetful.raw.hvals(forgetful.keys.senders)) < 200
    assert forgetful.counts() == {"queued": 201}


# Listing a queue.


def test_a_stored_job_counts_as_stored_when_its_queue_cannot_be_listed(
    make_app: MakeApp, make_queue: MakeQueue, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the failure: here the key of the list is a foreign one."""
    queue = make_queue()
    app = make_app()
    kind = job_type(app)
    listing = queues_key(app.config.namespace)
    queue.raw.set(listing, "something of somebody else")
    with caplog.at_level("WARNING", "fastjobs.producer"):
        kind.enqueue(1)
        assert len(kind.enqueue_many(range(2))) == 2
        assert list(app.enqueue_many([kind.options(job_id="mine").call()])) == ["mine"]
    assert queue.counts() == {"queued": 4}
    assert [record.message for record in caplog.records] == ["queue not listed"]
    queue.raw.delete(listing)
    monkeypatch.setattr(ListedPartitions, "_AFTER_FAILURE_S", 0.0)
    kind.enqueue(2)
    assert queue.raw.smembers(listing) == {b"default"}


# Every exit of a bulk says what is stored.


def refs_of(job_ids: Sequence[str]) -> list[str]:
    return [job_id if "~" in job_id else f"{job_id}~000" for job_id in job_ids]


def note_of(error: BaseException) -> str:
    (note,) = error.__notes__
    return note


def test_an_interrupted_bulk_says_how_many_jobs_are_stored(
    make_app: MakeApp, make_queue: MakeQueue, proxy: Proxy
) -> None:
    """Interrupted while it waits for an answer, which is where a bulk spends its time."""
    queue = make_queue()
    app = make_app(proxy.url, chunk_jobs=10)
    kind = job_type(app)
    kind.enqueue("listed")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def items() -> Iterator[int]:
        yield from range(50)
        wait_until(lambda: stored_in_all(queue) == 51, 20, "what was sent is stored")
        proxy.delay_replies(0.5)
        yield from range(50, 1000)

    before = signal.signal(signal.SIGALRM, interrupt)
    # In the middle of the first wait for a delayed reply.
    proxy.watch = lambda data: signal.setitimer(signal.ITIMER_REAL, 0.2) if stored_in_all(queue) == 51 else None
    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            kind.enqueue_many(items())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert note_of(caught.value) == f"fastjobs: {stored_in_all(queue) - 1} jobs were enqueued before this"
    proxy.delay_replies(0)
    kind.enqueue("after")


def test_a_refusal_in_the_middle_of_a_bulk_says_of_each_item_what_became_of_it(namespace: str) -> None:
    with ServerProcess() as server:
        app = FastJobs(server.url, namespace=namespace, chunk_jobs=10)
        queue = QueueUnderTest(server.url, namespace)

        def items() -> Iterator[int]:
            for index in range(1000):
                if index == 150:
                    queue.raw.config_set("maxmemory", 1)
                yield index

        with pytest.raises(NotEnqueued) as caught:
            job_type(app).enqueue_many(items())
        queue.raw.config_set("maxmemory", 0)
        assigned, stored = caught.value.assigned, list(caught.value.enqueued)
        assert assigned is not None and len(assigned) >= 150
        assert stored == list(assigned)[: len(stored)]
        assert queue.get_ready() == refs_of(stored)
        for index in range(0, len(stored), 7):
            assert app.jobs.find(assigned[index]).args == [index]
        queue.close()
        app.close()


def test_a_conflict_among_mixed_calls_says_what_became_of_each(make_app: MakeApp, make_queue: MakeQueue) -> None:
    queue = make_queue()
    app = make_app(chunk_jobs=3)
    kind = job_type(app)
    for name in ("a", "b"):
        kind.options(job_id=name).enqueue("mine")
    calls = [kind.options(job_id="a").call("other"), *map(kind.call, range(20)), kind.options(job_id="b").call("other")]
    calls.append(kind.options(job_id="new").call("mine"))
    with pytest.raises(JobIdConflict, match=r"'a'.*1 more") as caught:
        app.enqueue_many(iter(calls))
    error = caught.value
    assert (error.job_id, list(error.job_ids)) == ("a", ["a", "b"])
    assert error.assigned is not None and len(error.assigned) == 23
    assert [position for position, job_id in enumerate(error.assigned) if job_id not in error.enqueued] == [0, 21]
    for position in range(1, 21):
        assert app.jobs.find(error.assigned[position]).args == [position - 1]
    assert queue.counts() == {"queued": 23}


@pytest.mark.parametrize("mixed", [False, True])
def test_an_error_of_the_store_in_the_callers_own_code_says_what_is_stored(
    make_app: MakeApp, make_queue: MakeQueue, tmp_path: Path, mixed: bool
) -> None:
    queue = make_queue()
    app = make_app(chunk_jobs=10)
    kind = job_type(app)
    other = job_type(make_app(f"unix://{tmp_path}/nothing", retry_budget_s=0.0))

    def items() -> Iterator[Any]:
        for index in range(55):
            yield kind.call(index) if mixed else index
        other.enqueue("to a server that is down")

    with pytest.raises(NotEnqueued, match="no connection") as caught:
        app.enqueue_many(items()) if mixed else kind.enqueue_many(items())
    assert note_of(caught.value) == "fastjobs: 50 jobs were enqueued before this"
    assert queue.counts() == {"queued": 50}
    assert list(caught.value.enqueued) == [], "the error is about the other job"


def test_an_item_that_cannot_be_stored_leaves_the_errors_of_the_callers_own_bulk_alone(
    make_app: MakeApp, make_queue: MakeQueue
) -> None:
    queue = make_queue()
    kind = job_type(make_app(chunk_jobs=2))

    def items() -> Iterator[Any]:
        yield from range(4)
        kind.enqueue_many([1, 2, 3, object()])

    with pytest.raises(PayloadError) as caught:
        kind.enqueue_many(items())
    assert caught.value.index == 3
    assert caught.value.enqueued is not None and len(caught.value.enqueued) == 2
    assert [note.split()[1] for note in caught.value.__notes__] == ["2", "4"]
    assert queue.counts() == {"queued": 6}


# The same job, or another one.


@pytest.fixture(params=["queued", "failed"])
def enqueue_as_mine(request: pytest.FixtureRequest, make_app: MakeApp, make_queue: MakeQueue) -> Iterator[Any]:
    """Enqueues a job under one id, which is in its chunk still or has left it, and then another one."""
    queue = make_queue()

    def enqueue(first: tuple[Any, ...], second: tuple[Any, ...], **settings: Any) -> None:
        args, kwargs = first
        job_type(make_app()).options(job_id="mine", retries=3, timeout=9.0).enqueue(*args, **kwargs)
        if request.param == "failed":
            held = queue.fetch(queue.open(), 1)
            (span,) = held.lease.spans
            options = json.loads(Chunk.decode(span.payload or b"").types[0][1])
            outcome = queue.outcome("mine", 0, "failed")
            payload = [*args, kwargs]
            backwards = dict(reversed(options.items()))
            record = JobRecord(id="mine", type="work", payload=payload, options=backwards)
            assert queue.ack(held, (), [outcome._replace(record=record.encode())]) == 1
        args, kwargs = second
        kind = job_type(make_app(**settings))
        kind.options(timeout=9.0, job_id="mine", retries=3).enqueue(*args, **kwargs)
        kind.options(job_id="mine", retries=3, timeout=9.0).enqueue(*args, **kwargs)

    yield enqueue
    assert sum(queue.counts().values()) == 1


TEXT = "x" * 3000


@pytest.mark.parametrize(
    ("first", "second", "settings"),
    [
        (((1,), {"a": 1, "b": 2}), ((1,), {"b": 2, "a": 1}), {}),
        ((({"a": {"b": 1, "c": 2}},), {}), (({"a": {"c": 2, "b": 1}},), {}), {}),
        (((TEXT,), {}), ((TEXT,), {}), {"compress_min_bytes": 1 << 20}),
        (((TEXT,), {"a": 1, "b": 2}), ((TEXT,), {"b": 2, "a": 1}), {"compress_min_bytes": 1 << 20}),
    ],
)
def test_a_job_is_the_same_however_it_was_written_down(
    enqueue_as_mine: Any, first: Any, second: Any, settings: dict[str, Any]
) -> None:
    enqueue_as_mine(first, second, **settings)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(("one", "other"), [(1, True), (1, 1.0), (0, False), (0.0, -0.0), ("1", 1), (None, False)])
def test_values_that_are_only_equal_in_python_make_another_job(
    enqueue_as_mine: Any, one: Any, other: Any, nested: bool
) -> None:
    first, second = (((), {"a": [{"b": value}]}) if nested else ((value,), {}) for value in (one, other))
    with pytest.raises(JobIdConflict):
        enqueue_as_mine(first, second)
