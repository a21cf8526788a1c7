"""What the server refuses: scripts forgotten, memory full, foreign keys, a replica, missing rights."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from fastjobs import errors
from fastjobs.model.stored import LAYOUT
from fastjobs.server.exchanges.single import WORKER_RETRIES
from fastjobs.store.keys import queue_keys
from fastjobs.store.keyspace import Keyspace
from fastjobs.store.replies import Stored
from fastjobs.store.scripts import names
from tests.harness.calls import one_call_of_each
from tests.harness.queue import QueueUnderTest, key_names, origin, pack
from tests.harness.server import ServerProcess
from tests.harness.snapshot import take_snapshot
from tests.harness.waiting import wait_until


@pytest.fixture(scope="module")
def own_server() -> Iterator[ServerProcess]:
    """A server that the tests of this module may hurt, one after the other."""
    with ServerProcess() as process:
        yield process


@pytest.fixture
def hurt(own_server: ServerProcess) -> Iterator[QueueUnderTest]:
    """A queue on that server."""
    queue = QueueUnderTest(own_server.url, uuid.uuid4().hex[:12])
    yield queue
    queue.snapshot()
    queue.close()


# Scripts forgotten.


def test_scripts_that_were_flushed_are_loaded_again(hurt: QueueUnderTest) -> None:
    hurt.enqueue()
    hurt.raw.script_flush()
    chunk_id = hurt.enqueue()
    hurt.raw.script_flush()
    assert chunk_id in hurt.fetch(hurt.open(), 2).refs


def test_only_the_calls_whose_script_was_missing_are_sent_again(hurt: QueueUnderTest) -> None:
    hurt.open("s")
    batch = hurt.store.batch()
    first = batch.enqueue(hurt.name, "a", 1, 0, pack(), origin())
    flushed = batch.command("SCRIPT", "FLUSH")
    calls = batch.command("INCR", hurt.keys.stats + b"-calls")
    second = batch.enqueue(hurt.name, "b", 1, 0, pack(), origin())
    lease = batch.fetch(hurt.name, "s", 1, 5)
    batch.run()
    values = (first.value, flushed.value, calls.value, second.value)
    assert values == (Stored.FIRST, b"OK", 1, Stored.CREATED)
    assert [span.ref for span in lease.value.spans] == ["a", "b"]


def test_batches_in_flight_behind_a_flush_are_all_answered(hurt: QueueUnderTest) -> None:
    batches = []
    for index in range(6):
        batch = hurt.store.batch()
        if index == 2:
            batch.command("SCRIPT", "FLUSH")
        stored = batch.enqueue(hurt.name, f"c{index}", 1, 0, pack(), origin())
        batch.send()
        batches.append((batch, stored))
    # Not in the order they were sent in, either.
    for batch, stored in (batches[4], *batches[:4], batches[5]):
        batch.result()
        assert stored.value.is_new
    assert sorted(hurt.get_ready()) == [f"c{index}~000" for index in range(6)]


def test_a_server_that_forgets_all_scripts_at_once_is_given_up(
    hurt: QueueUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurt.enqueue()
    hurt.raw.script_flush()
    monkeypatch.setattr(hurt.store.client, "load_scripts", lambda: None)
    with pytest.raises(errors.StoreError, match="NOSCRIPT"):
        hurt.enqueue()
    monkeypatch.undo()


# Memory full.


@contextmanager
def full(queue: QueueUnderTest) -> Iterator[None]:
    queue.raw.config_set("maxmemory", 1)
    try:
        yield
    finally:
        queue.raw.config_set("maxmemory", 0)


def test_an_enqueue_at_a_full_server_is_refused_and_writes_nothing(hurt: QueueUnderTest) -> None:
    hurt.enqueue(chunk_id="there")
    before = hurt.stored()
    with full(hurt):
        for delay_ms in (0, 60_000):
            with pytest.raises(errors.OutOfMemory):
                hurt.try_enqueue(3, chunk_id="c", delay_ms=delay_ms)
        assert hurt.try_enqueue(chunk_id="there") is Stored.EXISTING
    assert hurt.stored() == before


def test_a_full_server_is_drained_with_everything_that_happens_on_the_way(hurt: QueueUnderTest) -> None:
    chunk_id = hurt.enqueue(20)
    hurt.seed_scheduled(3)
    hurt.seed_due()
    dead = hurt.fetch(hurt.open(), 4)
    hurt.seed_expired(dead.session)
    with full(hurt):
        # A worker that connects now loads its scripts and opens its session.
        hurt.store.client.close()
        session = hurt.open()
        assert hurt.renew(session) == [True]
        assert hurt.reclaim_all() == 4
        held = hurt.fetch(session, 6)
        outcomes = [
            hurt.outcome(chunk_id, 0, "failed"),
            hurt.outcome(chunk_id, 1, "retrying"),
            hurt.outcome(chunk_id, 2, "retrying", delay_ms=1),
        ]
        assert hurt.ack(held, [hurt.run(chunk_id, 20, 3, 1, keep_ms=60_000)], outcomes) == 4
        assert hurt.release(held) == 2
        lost = hurt.fetch(session, 2)
        assert hurt.audit(session) == len(lost.lease.spans) * 2
        assert hurt.postpone(hurt.fetch(session, 1), 1) == 1
        hurt.fetch(session, 2)
        assert hurt.close_session(session) == [2, 1]
        hurt.snapshot()
        other = hurt.open()
        wait_until(lambda: not hurt.drain(other) and "scheduled" not in hurt.counts(), 20, "all is drained")
        wait_until(lambda: not hurt.drain(other) and "retrying" not in hurt.counts(), 20, "retries are drained")
    # A chunk is kept whole, for the longest time that was asked for.
    assert hurt.counts() == {"finished": 17, "failed": 1}


# Foreign keys.


@pytest.mark.parametrize("key_name", key_names())
def test_a_foreign_key_stops_each_script_before_it_writes(hurt: QueueUnderTest, key_name: str) -> None:
    # An enqueue needs only one of the two lines.
    calls = one_call_of_each(hurt, enqueue_delay_ms=60_000 if key_name == "scheduled" else 0)
    key: bytes = getattr(hurt.keys, key_name)
    dump = hurt.raw.dump(key)
    hurt.raw.set(key, "something of somebody else")
    met = []
    for name, call in calls.items():
        before = take_snapshot(hurt.raw, hurt.keys).contents
        try:
            call()
        except errors.WrongKeyType as error:
            assert key.decode() in str(error), f"{name} names the key"
            assert take_snapshot(hurt.raw, hurt.keys).contents == before, f"{name} wrote something"
            met.append(name)
        else:
            assert key not in _declared(hurt, name), f"{name} declares the key and did not mind it"
    hurt.raw.delete(key)
    if dump is not None:
        hurt.raw.restore(key, 0, dump)
    assert met == [name for name in calls if key in _declared(hurt, name)]


# Another layout.


def test_a_newer_layout_stops_each_script_and_nothing_is_written(hurt: QueueUnderTest) -> None:
    reading: dict[str, Callable[[], object]] = {
        "find": lambda: hurt.find("chunk", 1),
        "page": lambda: hurt.store.batch().page(hurt.name, "ready", None, 1).run(),
        "survey": lambda: hurt.store.batch().survey_page(hurt.name, "stats", b"0", 1).run(),
    }
    calls = {**one_call_of_each(hurt), **reading}
    assert set(calls) == set(names())
    hurt.raw.hset(hurt.keys.stats, "layout", LAYOUT + 1)
    before = take_snapshot(hurt.raw, hurt.keys).contents
    for name, call in calls.items():
        with pytest.raises(
            errors.NewerLayout, match=f"layout {LAYOUT + 1}, this fastjobs knows layout {LAYOUT} .*stats"
        ):
            call()
        assert take_snapshot(hurt.raw, hurt.keys).contents == before, f"{name} wrote something"
    hurt.raw.hset(hurt.keys.stats, "layout", LAYOUT)
    for name in ("find", "fetch", "enqueue"):
        calls[name]()


def _declared(queue: QueueUnderTest, script: str) -> bytes:
    """The beginning of a call of the script, with its keys."""
    return Keyspace(queue.config).head(script, queue.name)[0]


# A replica.


def test_a_replica_refuses_writes_and_takes_them_again_as_a_primary(hurt: QueueUnderTest) -> None:
    hurt.enqueue(2)
    held = hurt.fetch(hurt.open(), 1)
    hurt.raw.replicaof("127.0.0.1", "1")
    try:
        for call in (lambda: hurt.try_enqueue(chunk_id="c"), lambda: hurt.finish(held), lambda: hurt.renew("s")):
            with pytest.raises(errors.ReadOnly):
                call()
    finally:
        hurt.raw.replicaof("NO", "ONE")
    assert hurt.try_enqueue(chunk_id="c").is_new
    assert hurt.finish(held) == 1


def test_a_worker_waits_a_read_only_server_out(hurt: QueueUnderTest) -> None:
    hurt.raw.replicaof("127.0.0.1", "1")
    tries = []

    def promote_after_two(failure: errors.StoreError) -> bool:
        tries.append(failure)
        if len(tries) == 2:
            hurt.raw.replicaof("NO", "ONE")
        return False

    try:
        stored = hurt.store.batch().enqueue(hurt.name, "c", 1, 0, pack(), origin())
        result = stored.run(WORKER_RETRIES, None, promote_after_two)
    finally:
        hurt.raw.replicaof("NO", "ONE")
    assert result.is_new
    assert [type(failure) for failure in tries] == [errors.ReadOnly] * 2


# Rights.


def test_scripts_touch_only_the_keys_they_declare(hurt: QueueUnderTest) -> None:
    """Each script under a user who has rights to the keys it declares and to no other."""
    calls = {**one_call_of_each(hurt), "find": lambda: hurt.find("chunk", 1)}
    hurt.raw.acl_setuser("narrow", enabled=True, nopass=True, commands=["+@all"], reset=True)
    client = hurt.store.client
    for name, call in calls.items():
        declared = _declared(hurt, name)
        allowed = [item for item in key_names() if getattr(hurt.keys, item) + b"\r\n" in declared]
        assert allowed, f"{name} declares keys"
        hurt.raw.acl_setuser(
            "narrow",
            enabled=True,
            nopass=True,
            commands=["+@all"],
            keys=[getattr(hurt.keys, item).decode() for item in allowed],
            reset=True,
        )
        client.close()
        reply = hurt.store.batch().command("AUTH", "narrow", "x").run()
        assert reply == b"OK"
        call()
        client.close()
    hurt.raw.acl_deluser("narrow")


def test_a_user_without_rights_is_told_so_and_nothing_is_written(
    own_server: ServerProcess, hurt: QueueUnderTest
) -> None:
    hurt.raw.acl_setuser("reader", enabled=True, nopass=True, commands=["+@all"], keys=["other:*"], reset=True)
    guest = QueueUnderTest(own_server.url.replace("unix://", "unix://reader:x@"), hurt.config.namespace)
    before = hurt.stored()
    with pytest.raises(errors.AccessDenied):
        guest.try_enqueue(chunk_id="c")
    assert hurt.stored() == before
    guest.close()
    hurt.raw.acl_deluser("reader")


def test_these_are_all_scripts(hurt: QueueUnderTest) -> None:
    """A new script is to be added above; the others only read."""
    assert {*one_call_of_each(hurt), "find", "page", "survey"} == set(names())


def test_all_keys_of_a_queue_share_one_hash_tag() -> None:
    keys = queue_keys("shop", "mail", 3)
    for name in key_names():
        assert getattr(keys, name) == f"{{fastjobs:shop:mail:3}}:{name}".encode()
