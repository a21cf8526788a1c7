"""The scripts of recurring jobs on a real server: fired once, kept in rhythm, held up, changed, moved."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fastjobs import FastJobs, JobNotFound, JobType, PayloadError, RecurringNotFound, Status, errors
from fastjobs._core import ChunkWriter, new_id
from fastjobs.model.definition import Definition
from fastjobs.model.outcome import Outcome, Run
from fastjobs.model.refs import run_id
from fastjobs.server.connection import Client
from fastjobs.store.replies import Defined, Lease, pairs
from fastjobs.store.store import Store
from fastjobs.worker.supervisor.recurrer import Recurrer
from tests.harness.server import ServerProcess
from tests.harness.snapshot import check_invariants, take_snapshot

QUEUE = "default"
HOUR_MS = 3_600_000


class Shop:
    """An app with a job type, its store, and a worker's recurrer."""

    def __init__(self, server: ServerProcess, namespace: str) -> None:
        self.app = FastJobs(server.url, namespace=namespace)
        self.report: JobType[..., None] = self.app.job(name="report")(_report)
        self.store = Store(Client(server.url, 5.0), self.app.config)
        self.recurrer = Recurrer(self.store, [QUEUE])
        self.last_seeded_ms = 0

    def now_ms(self) -> int:
        return self.store.batch().time_ms().run()

    def seed_due(self, definition_id: str, due_ms: int) -> Definition:
        """Moves the next due instant of a definition, as if no worker had looked since then."""
        keys = self.store.keys(QUEUE)
        stored = self.store.batch().command("HGET", keys.recurring, definition_id).run()
        line, body = stored.split(b"\n", 1)
        fields = line.split(b" ", 4)
        fields[3] = str(due_ms).encode()
        changed = b" ".join(fields) + b"\n" + body
        batch = self.store.batch()
        batch.command("HSET", keys.recurring, definition_id, changed)
        batch.command("ZADD", keys.recurring_due, due_ms, definition_id).run()
        return Definition.decode(definition_id, changed)

    def recur(self, definition: Definition, next_due_ms: int, *dues: int) -> int:
        blob = definition.pack(ChunkWriter(), 0)
        runs = self.store.batch().recur(QUEUE, definition, next_due_ms, blob, dues).run()
        return int(runs)

    def queued(self) -> list[str]:
        """Ids of the queued jobs, in the order in which they will run."""
        members = self.store.batch().command("ZRANGE", self.store.keys(QUEUE).ready, 0, -1).run()
        return [member[13:].decode() for member in members]

    def due(self) -> dict[str, int]:
        """The definitions that are due some time, and when."""
        key = self.store.keys(QUEUE).recurring_due
        found = self.store.batch().command("ZRANGE", key, 0, -1, "WITHSCORES").run()
        return {name.decode(): int(due) for name, due in zip(found[::2], found[1::2], strict=True)}

    def snapshot(self) -> dict[bytes, Any]:
        """All that is stored in the queue, byte for byte."""
        keys = self.store.keys(QUEUE)
        batch = self.store.batch()
        names = [keys.recurring, keys.chunks, keys.jobs, keys.stats]
        replies = {name: batch.command("HGETALL", name, parse=pairs) for name in names}
        for name in (keys.recurring_due, keys.ready, keys.scheduled):
            replies[name] = batch.command("ZRANGE", name, 0, -1, "WITHSCORES", parse=pairs)
        batch.run()
        return {name: sorted(reply.value.items()) for name, reply in replies.items()}

    def lease(self) -> tuple[str, Lease]:
        """Lets a session take all that is queued."""
        session = new_id()
        batch = self.store.batch()
        batch.open(QUEUE, session)
        return session, batch.fetch(QUEUE, session, 1, 100).run()

    def end(self, session: str, lease: Lease, state: str) -> None:
        """Ends every run of a lease."""
        if state == "finished":
            runs = [Run(span.ref, 1, 0, 1, bytes(8) + b"\0", bytes(8), 60_000) for span in lease.spans]
            assert self.store.batch().ack(QUEUE, session, lease.fence, runs).run() == len(runs)
            return
        record = b'{"v":1,"id":"x","type":"report","payload":[{}],"errors":[]}'
        outcomes = [Outcome(span.ref, 1, 0, state, 60_000, 0, 0, "report", record) for span in lease.spans]
        assert self.store.batch().ack(QUEUE, session, lease.fence, [], outcomes).run() == len(outcomes)


def _report(*args: object, **kwargs: object) -> None:
    """Never run here."""


@pytest.fixture
def shop(server: ServerProcess, namespace: str) -> Iterator[Shop]:
    shop = Shop(server, namespace)
    yield shop
    with server.client() as client:
        check_invariants(take_snapshot(client, shop.store.keys(QUEUE)))
    shop.store.client.close()
    shop.app.close()


# Firing.


def test_a_due_instant_is_fired_once_and_moves_on(shop: Shop) -> None:
    shop.report.every(3600, 42, id="tick").store()
    due_ms = shop.now_ms() - 5
    definition = shop.seed_due("tick", due_ms)
    assert shop.recur(definition, due_ms + HOUR_MS, due_ms) == 1
    assert shop.recur(definition, due_ms + HOUR_MS, due_ms) == -1
    assert shop.queued() == [run_id("tick", due_ms)]
    assert shop.due() == {"tick": due_ms + HOUR_MS}


def test_a_firing_sent_again_changes_nothing(shop: Shop) -> None:
    shop.report.every(3600, id="tick").store()
    due_ms = shop.now_ms() - 5
    definition = shop.seed_due("tick", due_ms)
    shop.recur(definition, due_ms + HOUR_MS, due_ms)
    before = shop.snapshot()
    shop.recur(definition, due_ms + HOUR_MS, due_ms)
    assert shop.snapshot() == before


def test_nothing_is_fired_before_its_time(shop: Shop) -> None:
    handle = shop.report.every(3600, id="tick").store()
    before = shop.snapshot()
    due_ms = handle.definition.due_ms
    assert shop.recur(handle.definition, due_ms + HOUR_MS, due_ms) == -1
    assert shop.recurrer.run() == 0
    assert shop.snapshot() == before


def test_a_definition_changed_since_it_was_read_is_not_fired_as_it_was(shop: Shop) -> None:
    shop.report.every(3600, "old", id="tick").store()
    due_ms = shop.now_ms() - 5
    old = shop.seed_due("tick", due_ms)
    shop.report.every(3600, "new", id="tick").store()
    assert shop.recur(old, due_ms + HOUR_MS, due_ms) == -1
    assert shop.recurrer.run() == 1
    assert shop.app.jobs.find(run_id("tick", due_ms)).args == ["new"]


def test_ten_racing_workers_fire_each_due_instant_once(server: ServerProcess, shop: Shop) -> None:
    ids = [f"tick{number}" for number in range(20)]
    dues = {}
    for name in ids:
        shop.report.every(3600, id=name).store()
        dues[name] = shop.now_ms() - 10
        shop.seed_due(name, dues[name])
    barrier = threading.Barrier(10)
    enqueued = []

    def work() -> None:
        store = Store(Client(server.url, 5.0), shop.app.config)
        recurrer = Recurrer(store, [QUEUE])
        barrier.wait()
        enqueued.append(recurrer.run())
        store.client.close()

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(enqueued) == 10
    assert sum(enqueued) == len(ids)
    assert sorted(shop.queued()) == sorted(run_id(name, due_ms) for name, due_ms in dues.items())
    assert shop.due() == {name: due_ms + HOUR_MS for name, due_ms in dues.items()}


def test_a_run_is_a_job_like_any_other(shop: Shop) -> None:
    shop.report.options(priority=7, retries=2).every(3600, 42, id="tick", kwargs={"lang": "sv"}).store()
    due_ms = shop.now_ms() - 5
    shop.seed_due("tick", due_ms)
    shop.recurrer.run()
    job = shop.app.jobs.find(run_id("tick", due_ms))
    assert (job.status, job.type, job.args, job.kwargs) == (Status.QUEUED, "report", [42], {"lang": "sv"})
    assert (job.priority, job.retries_left, job.recurring) == (7, 2, "tick")
    assert job.created_at is not None
    assert abs(job.created_at - datetime.now(UTC)) < timedelta(seconds=60)
    assert shop.app.jobs.count(Status.QUEUED) == 1
    assert shop.report.enqueue().recurring is None


def test_more_definitions_than_one_look_takes_are_all_fired(shop: Shop) -> None:
    due_ms = shop.now_ms() - 5
    for number in range(130):
        shop.report.every(3600, id=f"tick{number}").store()
        shop.seed_due(f"tick{number}", due_ms)
    assert [shop.recurrer.run() for _ in range(3)] == [100, 30, 0]
    assert len(shop.queued()) == 130


def test_the_recurrer_looks_again_when_the_next_one_is_due_and_within_a_second(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastjobs.worker.supervisor.recurrer.time.monotonic", lambda: 1000.0)
    shop.recurrer.run()
    assert 1000.9 <= shop.recurrer.due_at <= 1001.0
    shop.report.every(3600, id="tick").store()
    shop.seed_due("tick", shop.now_ms() + 500)
    shop.recurrer.run()
    assert 1000.0 < shop.recurrer.due_at <= 1000.5 + 0.02


def test_what_cannot_be_read_here_is_left_to_others_and_holds_nobody_up(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.report.every(3600, id="good").store()
    shop.report.every(3600, id="newer").store()
    due_ms = shop.now_ms() - 5
    shop.seed_due("good", due_ms)
    shop.seed_due("newer", due_ms)
    key = shop.store.keys(QUEUE).recurring
    stored = shop.store.batch().command("HGET", key, "newer").run()
    shop.store.batch().command("HSET", key, "newer", stored.replace(b'"v":1', b'"v":9')).run()
    assert [shop.recurrer.run() for _ in range(3)] == [1, 0, 0]
    assert shop.due()["newer"] == due_ms
    assert sum("cannot enqueue" in record.message for record in caplog.records) == 1


def break_definitions(shop: Shop, number: int, due_ms: int) -> None:
    """Defines recurring jobs that are due and cannot be fired: of a newer format, gone, or not due as they say."""
    shop.report.every(3600, id="broken").store()
    keys = shop.store.keys(QUEUE)
    stored = shop.store.batch().command("HGET", keys.recurring, "broken").run()
    batch = shop.store.batch()
    for index in range(number):
        if index % 3:
            body = stored.replace(b'"v":1', b'"v":9') if index % 3 == 1 else stored
            batch.command("HSET", keys.recurring, f"broken-{index}", body)
        batch.command("ZADD", keys.recurring_due, due_ms, f"broken-{index}")
    batch.run()


def test_many_definitions_that_cannot_be_fired_hold_up_no_others(
    shop: Shop, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    due_ms = shop.now_ms() - 5
    break_definitions(shop, 250, due_ms - 60_000)
    for index in range(150):
        shop.report.every(3600, id=f"good-{index}", overlap="allow").store()
        shop.seed_due(f"good-{index}", due_ms)
    monkeypatch.setattr("fastjobs.worker.supervisor.recurrer.time.monotonic", lambda: 1000.0)
    for _ in range(3):
        for _ in range(20):
            shop.recurrer.run()
            if shop.recurrer.due_at > 1000.5:
                break
    assert len(shop.queued()) == 150
    assert sum("cannot enqueue" in record.message for record in caplog.records) == 166
    # What became due meanwhile is fired although the broken ones are still there.
    shop.seed_due("good-7", shop.now_ms() - 5)
    assert sum(shop.recurrer.run() for _ in range(5)) == 1
    drop_broken(shop)


def drop_broken(shop: Shop) -> None:
    """Removes what the invariants would complain of."""
    keys = shop.store.keys(QUEUE)
    batch = shop.store.batch()
    for index in range(250):
        batch.command("HDEL", keys.recurring, f"broken-{index}")
        batch.command("ZREM", keys.recurring_due, f"broken-{index}")
    batch.run()


# Missed runs.


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({}, [10]),
        ({"missed": "all", "overlap": "allow"}, list(range(11))),
        ({"missed": "all", "missed_limit": 3, "overlap": "allow"}, [8, 9, 10]),
        ({"missed": "skip"}, []),
    ],
)
def test_after_a_downtime_missed_runs_are_made_up_for_by_policy(
    shop: Shop, policy: dict[str, Any], expected: list[int]
) -> None:
    shop.report.every(3600, id="tick", **policy).store()
    due_ms = shop.now_ms() - 10 * HOUR_MS - HOUR_MS // 2
    shop.seed_due("tick", due_ms)
    assert shop.recurrer.run() == len(expected)
    assert shop.queued() == [run_id("tick", due_ms + step * HOUR_MS) for step in expected]
    assert shop.due() == {"tick": due_ms + 11 * HOUR_MS}
    assert shop.recurrer.run() == 0


def test_a_hundred_missed_runs_are_made_up_for_unless_the_definition_says_otherwise(shop: Shop) -> None:
    shop.report.every(1, id="tick", missed="all", overlap="allow").store()
    shop.seed_due("tick", shop.now_ms() - 86_400_000)
    assert shop.recurrer.run() == 100


# Overlap.


def fire_again(shop: Shop, definition_id: str) -> int:
    """Fires the definition once more, for a due instant of its own; returns the number of runs enqueued."""
    shop.last_seeded_ms = max(shop.last_seeded_ms + 1, shop.now_ms() - 1000)
    shop.seed_due(definition_id, shop.last_seeded_ms)
    return shop.recurrer.run()


def test_no_run_begins_while_the_one_before_waits_or_executes(shop: Shop) -> None:
    shop.report.every(3600, id="tick").store()
    assert fire_again(shop, "tick") == 1
    assert fire_again(shop, "tick") == 0
    session, lease = shop.lease()
    assert fire_again(shop, "tick") == 0
    shop.end(session, lease, "finished")
    assert fire_again(shop, "tick") == 1


def test_a_skipped_run_still_moves_the_schedule_on(shop: Shop) -> None:
    shop.report.every(3600, id="tick").store()
    fire_again(shop, "tick")
    due_ms = shop.now_ms() - 1
    shop.seed_due("tick", due_ms)
    shop.recurrer.run()
    assert shop.due() == {"tick": due_ms + HOUR_MS}


@pytest.mark.parametrize("state", ["retrying", "scheduled"])
def test_no_run_begins_while_the_one_before_waits_for_its_retry(shop: Shop, state: str) -> None:
    shop.report.every(3600, id="tick").store()
    assert fire_again(shop, "tick") == 1
    shop.end(*shop.lease(), state)
    assert fire_again(shop, "tick") == 0


@pytest.mark.parametrize("state", ["finished", "failed", "cancelled"])
def test_the_series_goes_on_however_a_run_ended(shop: Shop, state: str) -> None:
    shop.report.every(3600, id="tick").store()
    for _ in range(3):
        assert fire_again(shop, "tick") == 1
        shop.end(*shop.lease(), state)


def test_the_series_goes_on_when_a_run_is_cancelled_or_destroyed_in_line(shop: Shop) -> None:
    handle = shop.report.every(3600, id="tick").store()
    assert fire_again(shop, "tick") == 1
    assert handle.refresh().last_run is not None
    handle.last_run.cancel()
    assert fire_again(shop, "tick") == 1
    assert handle.refresh().last_run is not None
    handle.last_run.destroy()
    assert fire_again(shop, "tick") == 1


def test_runs_overlap_where_that_is_allowed(shop: Shop) -> None:
    shop.report.every(3600, id="tick", overlap="allow").store()
    assert [fire_again(shop, "tick") for _ in range(3)] == [1, 1, 1]


# Defining.


def test_a_definition_given_again_is_not_written_again_and_keeps_its_rhythm(shop: Shop) -> None:
    shop.report.every(3600, 42, id="tick").store()
    due_ms = shop.now_ms() + 1234
    shop.seed_due("tick", due_ms)
    before = shop.snapshot()
    assert shop.report.every(3600, 42, id="tick").store().definition.due_ms == due_ms
    assert shop.snapshot() == before


def test_other_arguments_keep_the_rhythm_and_another_schedule_begins_a_new_one(shop: Shop) -> None:
    first = shop.report.every(3600, 42, id="tick").store()
    changed = shop.report.every(3600, 43, id="tick").store()
    assert (changed.next_due, changed.args) == (first.next_due, [43])
    faster = shop.report.every(60, 43, id="tick").store()
    assert first.next_due is not None
    assert faster.next_due is not None
    assert faster.next_due < first.next_due
    assert shop.due() == {"tick": faster.definition.due_ms}
    daily = shop.report.cron("@daily", 43, id="tick").store()
    assert daily.next_due is not None
    assert (daily.next_due.hour, daily.next_due.minute, daily.schedule) == (0, 0, "cron UTC 0 0 * * *")


def test_an_older_version_does_not_replace_a_newer_one(shop: Shop) -> None:
    shop.report.every(3600, "new", id="tick", version=2).store()
    before = shop.snapshot()
    handle = shop.report.every(60, "old", id="tick", version=1).store()
    assert (handle.args, handle.version, handle.schedule) == (["new"], 2, "every 3600000 0")
    assert shop.snapshot() == before
    assert shop.report.every(60, "newest", id="tick", version=3).store().args == ["newest"]


def test_what_became_of_a_definition_is_told(shop: Shop) -> None:
    handle = shop.report.every(3600, id="tick", version=5).store()

    def define(version: int) -> Defined:
        definition = handle.definition
        again = Definition(
            id="tick", schedule=definition.schedule, type="report", payload=definition.payload, version=version
        )
        outcome, _ = shop.store.batch().define_recurring(QUEUE, again, 1).run()
        return Defined(outcome)

    assert [define(version) for version in (5, 4, 6)] == [Defined.SAME, Defined.REFUSED, Defined.CHANGED]


def test_a_start_sets_the_first_due_instant(shop: Shop) -> None:
    start = datetime(2099, 1, 1, tzinfo=UTC)
    assert shop.report.every(3600, id="tick", start=start).store().next_due == start


def test_a_definition_follows_its_queue(shop: Shop) -> None:
    first = shop.report.every(3600, id="tick").store()
    first.pause()
    moved = shop.report.options(queue="slow").every(3600, id="tick").store()
    assert [(found.id, found.queue) for found in shop.app.recurring.list()] == [("tick", "slow")]
    assert (moved.paused, moved.definition.due_ms) == (True, first.definition.due_ms)
    with pytest.raises(RecurringNotFound):
        first.refresh()


def test_an_older_version_does_not_bring_a_definition_back_to_its_old_queue(shop: Shop) -> None:
    shop.report.options(queue="slow").every(3600, id="tick", version=2).store()
    handle = shop.report.every(3600, id="tick", version=1).store()
    assert handle.queue == "slow"
    assert [found.queue for found in shop.app.recurring.list()] == ["slow"]


def test_arguments_that_cannot_be_stored_are_refused_with_nothing_stored(shop: Shop) -> None:
    with pytest.raises(PayloadError, match=r"args\[0\]"):
        shop.report.every(3600, float("nan"), id="tick").store()
    with pytest.raises(errors.ConfigError, match="job_id"):
        shop.report.options(delay=5).every(3600, id="tick").store()
    with pytest.raises(errors.ConfigError, match="overlap='allow'"):
        shop.report.every(3600, id="tick", missed="all").store()
    assert shop.app.recurring.list() == []


def test_integers_floats_and_text_arrive_as_they_were_given(shop: Shop) -> None:
    values = [2**64 - 1, -(2**63), 0.1, 1e300, "\u2028\x00é", None, True, {"a": [1, {"b": []}]}]
    shop.report.every(3600, *values, id="tick").store()
    fire_again(shop, "tick")
    last_run = shop.app.recurring.find("tick").last_run
    assert last_run is not None
    assert last_run.refresh().args == values


# The handle.


def test_a_paused_definition_is_not_fired_until_it_is_resumed(shop: Shop) -> None:
    handle = shop.report.every(3600, id="tick").store()
    due_ms = shop.now_ms() - 10 * HOUR_MS - 5
    shop.seed_due("tick", due_ms)
    handle.pause()
    assert (handle.paused, handle.next_due, shop.due(), shop.recurrer.run()) == (True, None, {}, 0)
    handle.pause()
    handle.resume()
    assert handle.next_due == datetime.fromtimestamp((due_ms + 11 * HOUR_MS) / 1000, UTC)
    assert (handle.paused, shop.recurrer.run()) == (False, 0)
    before = shop.snapshot()
    handle.resume()
    assert shop.snapshot() == before


def test_a_deploy_does_not_end_a_pause(shop: Shop) -> None:
    shop.report.every(3600, 1, id="tick").store().pause()
    assert shop.report.every(3600, 2, id="tick").store().paused
    assert shop.report.every(60, 2, id="tick").store().paused
    assert shop.due() == {}


def test_a_worker_that_read_a_definition_before_it_was_paused_does_not_fire_it(shop: Shop) -> None:
    handle = shop.report.every(3600, id="tick").store()
    due_ms = shop.now_ms() - 5
    definition = shop.seed_due("tick", due_ms)
    handle.pause()
    assert shop.recur(definition, due_ms + HOUR_MS, due_ms) == -1
    handle.resume()
    assert shop.recur(definition, due_ms + HOUR_MS, due_ms) == -1
    assert shop.queued() == []


def test_a_cancelled_definition_is_gone_and_its_runs_stay(shop: Shop) -> None:
    handle = shop.report.every(3600, id="tick").store()
    fire_again(shop, "tick")
    assert [handle.cancel(), handle.cancel()] == [True, False]
    assert shop.app.recurring.list() == []
    assert (shop.due(), len(shop.queued()), shop.recurrer.run()) == ({}, 1, 0)
    for action in (handle.pause, handle.resume, handle.run_now, handle.refresh):
        with pytest.raises(RecurringNotFound, match="'tick'"):
            action()
    with pytest.raises(RecurringNotFound, match="'tick'"):
        shop.app.recurring.find("tick")


def test_a_definition_made_again_is_not_fired_by_one_who_read_the_old_one(shop: Shop) -> None:
    handle = shop.report.every(3600, "old", id="tick").store()
    due_ms = shop.now_ms() - 5
    old = shop.seed_due("tick", due_ms)
    handle.cancel()
    shop.report.every(3600, "new", id="tick").store()
    shop.seed_due("tick", due_ms)
    assert shop.recur(old, due_ms + HOUR_MS, due_ms) == -1


def test_a_run_asked_for_leaves_the_schedule_as_it_is(shop: Shop) -> None:
    handle = shop.report.every(3600, 42, id="tick").store()
    due = shop.due()
    job = handle.run_now()
    assert (shop.due(), shop.queued()) == (due, [job.id])
    assert (job.refresh().status, job.args, job.recurring) == (Status.QUEUED, [42], "tick")
    assert handle.last_run is not None
    assert handle.last_run.id == job.id
    handle.pause()
    shop.end(*shop.lease(), "finished")
    assert handle.run_now().id != job.id


def test_a_run_asked_for_does_not_overlap_another_unless_that_is_allowed(shop: Shop) -> None:
    handle = shop.report.every(3600, id="tick").store()
    job = handle.run_now()
    assert handle.run_now().id == job.id
    assert fire_again(shop, "tick") == 0
    overlapping = shop.report.every(3600, id="other", overlap="allow").store()
    assert overlapping.run_now().id != overlapping.run_now().id


def test_a_run_asked_for_twice_by_one_call_is_enqueued_once(shop: Shop) -> None:
    handle = shop.report.every(3600, id="tick", overlap="allow").store()
    blob = handle.definition.pack(ChunkWriter(), 0)
    batch = shop.store.batch()
    replies = [batch.run_recurring(QUEUE, handle.definition, blob, "recur:tick:once") for _ in range(2)]
    batch.run()
    assert [reply.value for reply in replies] == [(1, "recur:tick:once")] * 2
    assert shop.queued() == ["recur:tick:once"]


def test_the_handle_tells_when_it_ran_last_and_what_became_of_it(shop: Shop) -> None:
    handle = shop.report.every(3600, id="tick").store()
    assert (handle.last_run, handle.last_due) == (None, None)
    due_ms = shop.now_ms() - 5
    shop.seed_due("tick", due_ms)
    shop.recurrer.run()
    shop.end(*shop.lease(), "finished")
    handle.refresh()
    assert handle.last_due == datetime.fromtimestamp(due_ms / 1000, UTC)
    assert handle.last_run is not None
    assert (handle.last_run.id, handle.last_run.refresh().status) == (run_id("tick", due_ms), Status.FINISHED)
    handle.last_run.destroy()
    with pytest.raises(JobNotFound):
        handle.last_run.refresh()


def test_all_definitions_are_listed_by_id(shop: Shop) -> None:
    shop.report.every(3600, id="b").store()
    shop.report.options(queue="slow").cron("@daily", id="a", tz="Europe/Stockholm").store()
    assert [(found.id, found.queue, found.schedule) for found in shop.app.recurring.list()] == [
        ("a", "slow", "cron Europe/Stockholm 0 0 * * *"),
        ("b", "default", "every 3600000 0"),
    ]
    assert [found.id for found in shop.app.recurring.list(queue="slow")] == ["a"]
    assert shop.app.recurring.find("a").queue == "slow"
    with pytest.raises(RecurringNotFound):
        shop.app.recurring.find("a", queue="default")


def test_a_full_server_refuses_a_firing_whole_and_takes_it_later(namespace: str) -> None:
    with ServerProcess("--maxmemory-policy", "noeviction") as server:
        shop = Shop(server, namespace)
        shop.report.every(3600, id="tick").store()
        superfluous = shop.report.every(3600, id="superfluous").store()
        due_ms = shop.now_ms() - 5
        shop.seed_due("tick", due_ms)
        before = shop.snapshot()
        shop.store.batch().command("CONFIG", "SET", "maxmemory", 1).run()
        with pytest.raises(errors.OutOfMemory):
            shop.recurrer.run()
        assert shop.snapshot() == before
        superfluous.pause()
        assert superfluous.cancel()
        shop.store.batch().command("CONFIG", "SET", "maxmemory", 0).run()
        assert shop.recurrer.run() == 1
        shop.store.client.close()
        shop.app.close()
