"""fsck: whatever is done to what is stored of a queue, it puts it right; a queue in order it leaves alone."""

from __future__ import annotations

import json
import random
import threading
from dataclasses import asdict
from typing import Any

import hypothesis.strategies as st
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings

from fastjobs._core import new_id
from fastjobs.cli.main import command
from fastjobs.model.record import JobRecord
from fastjobs.model.refs import JobAddress
from fastjobs.model.stored import packed_chunk, record_body, split_chunk
from fastjobs.operating.fsck import Fsck, Report, survey
from fastjobs.operating.fsck.amend import amend
from fastjobs.operating.fsck.findings import Finding
from fastjobs.operating.fsck.survey import Surveyor
from tests.harness.queue import QueueUnderTest
from tests.harness.server import ServerProcess
from tests.harness.snapshot import check_invariants, take_snapshot
from tests.store.conftest import MakeQueue

RUNS = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
HASHES = ("chunks", "marks", "jobs", "leases", "finished", "stats")
ZSETS = ("ready", "scheduled", "sessions", "failed", "cancelled", "cancelling", "finished_log")


def checker(queue: QueueUnderTest, patience_s: float = 5.0) -> Fsck:
    return Fsck(lambda: queue.store, queue.name, patience_s)


def fill(queue: QueueUnderTest) -> None:
    """Jobs in every status, in chunks of one and of many, partly done, detached, cancelled."""
    session = queue.open()
    queue.seed_finished(4)
    queue.seed_finished()
    for state in ("failed", "cancelled"):
        queue._seed_settled(state)
    queue.seed_retrying()
    # A chunk of which some jobs finished, some failed, one retries, one is to be cancelled, and some go back in line.
    held = queue.seed_executing(12, session=session)
    chunk_id = held.refs[0].partition("~")[0]
    outcomes = [
        queue.outcome(chunk_id, 3, "failed", n=12),
        queue.outcome(chunk_id, 4, "retrying", n=12, delay_ms=3_600_000),
        queue.outcome(chunk_id, 5, "retrying", n=12),
    ]
    assert queue.ack(held, [queue.run(chunk_id, 12, 0, 3, keep_ms=3_600_000)], outcomes) == 6
    assert queue.release(held, [f"{chunk_id}~009+3"]) == 3
    cancel(queue, chunk_id, 6)
    # One that went, redelivered, with some taken out of its history.
    other = queue.open()
    held = queue.fetch(other, 2)
    queue.seed_expired(other)
    assert queue.reclaim_all() > 0
    queue.seed_scheduled(5)
    queue.seed_scheduled()
    queue.enqueue(6, priority=3)
    queue.enqueue(priority=-2)
    destroy(queue, queue.seed_queued(3), 1)
    held = queue.fetch(session, 2)
    queue.postpone(held, 3_600_000, held.refs[:1])
    queue.fetch(session, 2)


def cancel(queue: QueueUnderTest, chunk_id: str, index: int) -> None:
    job = JobAddress(chunk_id, index, False)
    body = JobRecord(id=f"{chunk_id}~{index:03d}", type="work", payload=[index, {}]).encode()
    queue.store.batch().cancel(queue.name, job, new_id(), "work", body).run()


def destroy(queue: QueueUnderTest, chunk_id: str, index: int) -> None:
    queue.store.batch().destroy(queue.name, JobAddress(chunk_id, index, False)).run()


def in_order(queue: QueueUnderTest) -> None:
    check_invariants(take_snapshot(queue.raw, queue.keys))


def known_jobs(queue: QueueUnderTest) -> set[str]:
    """Every job that can be told anything of, by any trace of it."""
    contents = take_snapshot(queue.raw, queue.keys)
    found = {name.decode() for name in contents["jobs"]}
    for name, stored in contents["chunks"].items():
        found |= {f"{name.decode()}~{index:03d}" for index in range(split_chunk(stored)[1])}
    return found


def repair(queue: QueueUnderTest) -> Report:
    report = checker(queue).repair()
    assert report.status in ("clean", "repaired"), report
    in_order(queue)
    before = queue.stored()
    assert checker(queue).repair().status == "clean"
    assert queue.stored() == before
    return report


def named(report: Report, finding: Finding) -> list[str]:
    return [job for found in report.findings if found.finding is finding for job in found.ids]


def test_a_queue_with_jobs_in_every_status_is_clean_and_left_alone(queue: QueueUnderTest) -> None:
    fill(queue)
    assert set(queue.counts()) == {"scheduled", "queued", "executing", "retrying", "finished", "failed", "cancelled"}
    before = queue.stored()
    assert asdict(checker(queue).check()) == asdict(Report("default"))
    assert asdict(checker(queue).repair()) == asdict(Report("default"))
    assert queue.stored() == before


def test_a_queue_that_is_read_in_pages_is_clean_as_well(queue: QueueUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(queue)
    for _ in range(300):
        queue.enqueue(2)
    monkeypatch.setattr(survey, "_SMALL_ENTRIES", 10)
    assert checker(queue).check().status == "clean"
    queue.raw.hincrby(queue.keys.stats, "queued", 5)
    queue.raw.zrem(queue.keys.ready, *queue.raw.zrange(queue.keys.ready, 50, 99))
    assert checker(queue).check().status == "drift"
    assert repair(queue).lost == 0


def test_without_fix_nothing_is_changed(queue: QueueUnderTest) -> None:
    fill(queue)
    queue.raw.delete(queue.keys.ready, queue.keys.failed)
    before = queue.stored()
    assert checker(queue).check().status == "drift"
    assert queue.stored() == before
    repair(queue)


def test_wrong_counters_are_counted_anew(queue: QueueUnderTest) -> None:
    fill(queue)
    before = queue.stored()
    queue.raw.hset(queue.keys.stats, mapping={"queued": 7000, "failed": -1, "failed:work": 9, "cancelled:ghost": 2})
    queue.raw.hdel(queue.keys.stats, "finished")
    report = repair(queue)
    assert set(report.miscounted) == {"queued", "failed", "failed:work", "cancelled:ghost", "finished"}
    assert queue.stored() == before


@pytest.mark.parametrize("key", ["ready", "scheduled", "leases", "sessions", "failed", "cancelled", "finished_log"])
def test_a_deleted_line_lease_or_list_loses_no_job(queue: QueueUnderTest, key: str) -> None:
    fill(queue)
    jobs = known_jobs(queue)
    queue.raw.delete(getattr(queue.keys, key))
    report = repair(queue)
    assert report.lost == 0
    assert known_jobs(queue) == jobs


def test_jobs_put_back_stand_where_they_stood(queue: QueueUnderTest) -> None:
    for n, priority in ((3, 0), (1, 5), (1, 0), (2, 5)):
        queue.enqueue(n, priority=priority)
    line = queue.get_ready()
    queue.raw.delete(queue.keys.ready)
    assert queue.get_ready() == []
    repair(queue)
    assert queue.get_ready() == line


def test_jobs_whose_chunk_is_gone_have_failed_and_are_named(queue: QueueUnderTest) -> None:
    alone, several = queue.seed_queued(), queue.seed_queued(3)
    queue.seed_queued(2)
    queue.raw.hdel(queue.keys.chunks, alone, several)
    report = repair(queue)
    assert report.lost == 4
    lost = {f"{alone}~000", *(f"{several}~{index:03d}" for index in range(3))}
    assert set(named(report, Finding.PAYLOAD_MISSING)) == lost == set(queue.get_ended("failed"))
    stored = queue.raw.hget(queue.keys.jobs, f"{several}~001")
    record = JobRecord.decode(record_body(stored))
    assert (record.id, record.errors[0].type) == (f"{several}~001", "PayloadMissing")
    assert JobRecord.decode(record_body(queue.raw.hget(queue.keys.jobs, f"{alone}~000"))).id == alone
    assert queue.counts() == {"failed": 4, "queued": 2}


def test_a_job_without_its_record_runs_again_from_its_chunk_if_that_is_there(queue: QueueUnderTest) -> None:
    chunk_id = queue.seed_queued(3)
    held = queue.fetch(queue.open(), 3)
    queue.ack(held, (), [queue.outcome(chunk_id, 1, "retrying", delay_ms=3_600_000)])
    queue.raw.hdel(queue.keys.jobs, f"{chunk_id}~001")
    report = repair(queue)
    assert report.lost == 0
    assert queue.status(chunk_id, 1) == "queued"


def test_a_chunk_whose_place_in_line_is_damaged_gets_it_back(queue: QueueUnderTest) -> None:
    chunk_id = queue.seed_queued(3, priority=4)
    stored = queue.raw.hget(queue.keys.chunks, chunk_id)
    queue.raw.hset(queue.keys.chunks, chunk_id, b"nonsense" + packed_chunk(stored))
    assert repair(queue).lost == 0
    assert queue.raw.hget(queue.keys.chunks, chunk_id) == stored


def test_a_chunk_that_claims_another_number_of_jobs_is_put_right(queue: QueueUnderTest) -> None:
    chunk_id = queue.seed_queued(3)
    stored = queue.raw.hget(queue.keys.chunks, chunk_id)
    queue.raw.hset(queue.keys.chunks, chunk_id, stored.replace(b" 3\n", b" 9\n", 1))
    assert repair(queue).lost == 0
    assert queue.counts() == {"queued": 3}


def test_what_an_unknown_session_holds_is_given_back(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(5)
    queue.raw.zrem(queue.keys.sessions, held.session)
    repair(queue)
    assert queue.counts() == {"queued": 5}
    assert queue.finish(held) == -1


def test_a_job_in_several_places_is_in_one(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(5)
    chunk_id = held.refs[0].partition("~")[0]
    _, member = queue.raw.hget(queue.keys.leases, f"{held.session}:{held.fence}").split()
    queue.raw.zadd(queue.keys.ready, {member: 0})
    queue.raw.zadd(queue.keys.scheduled, {b"s0," + member[:13] + f"{chunk_id}~002+2".encode(): 9e12})
    repair(queue)
    assert queue.counts() == {"executing": 5}
    assert queue.finish(held) == 5


def test_a_request_to_cancel_outlives_the_lease_that_was_lost(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(4)
    chunk_id = held.refs[0].partition("~")[0]
    cancel(queue, chunk_id, 2)
    queue.raw.delete(queue.keys.leases)
    repair(queue)
    assert queue.counts() == {"queued": 3, "cancelled": 1}
    assert queue.status(chunk_id, 2) == "cancelled"


def test_orphans_go(queue: QueueUnderTest) -> None:
    queue.seed_queued()
    before = queue.stored()
    queue.raw.hset(queue.keys.marks, mapping={"ghost": "1 0 0 0 -", "ghost~003": "0 2 0 0 -"})
    queue.raw.hset(queue.keys.finished, "ghost", b"0+1 " + bytes(9) + bytes(8))
    queue.raw.zadd(queue.keys.finishing, {b"ghost~000+1 " + bytes(9) + bytes(8): 0, b"\xff\x00": 0})
    queue.raw.zadd(queue.keys.finished_log, {"4 ghost": 9e12, "1 ghost~001": 9e12})
    queue.raw.zadd(queue.keys.cancelling, {"ghost~001": 1})
    queue.raw.zadd(queue.keys.cancelled, {"ghost~007": 1})
    queue.raw.zadd(queue.keys.ready, {"nonsense": 1})
    assert repair(queue).lost == 0
    assert queue.stored() == before


def test_times_of_a_chunk_that_goes_on_are_kept_apart_from_those_of_one_that_ended(queue: QueueUnderTest) -> None:
    held = queue.seed_executing(9)
    chunk_id = held.refs[0].partition("~")[0]
    for first in (6, 0, 3):
        queue.ack(held, [queue.run(chunk_id, 9, first, 2, keep_ms=60_000)])
    before = queue.stored()
    members = queue.raw.zrange(queue.keys.finishing, 0, -1)
    # As if the chunk had ended; one of its segments is damaged as well.
    queue.raw.delete(queue.keys.finishing)
    queue.raw.hset(queue.keys.finished, chunk_id, b"".join(member.partition(b"~")[2] for member in members))
    queue.raw.zadd(queue.keys.finishing, {f"{chunk_id}~nonsense": 0})
    repair(queue)
    assert queue.stored() == before
    # A segment that is gone: its jobs run again.
    queue.raw.zrem(queue.keys.finishing, members[1])
    repair(queue)
    assert [queue.status(chunk_id, index) for index in (0, 3, 4, 6)] == ["finished", "queued", "queued", "finished"]


def test_recurring_jobs_are_due_when_they_say_so(queue: QueueUnderTest) -> None:
    line = b"1 1 %s 1900000000000 0 - skip every 30 0\n{}"
    queue.raw.hset(queue.keys.recurring, mapping={"tick": line % b"active", "rest": line % b"paused", "bad": "?"})
    queue.raw.zadd(queue.keys.recurring_due, {"rest": 5, "ghost": 5})
    repair(queue)
    assert queue.raw.zrange(queue.keys.recurring_due, 0, -1, withscores=True) == [(b"tick", 1_900_000_000_000)]
    assert set(queue.raw.hkeys(queue.keys.recurring)) == {b"tick", b"rest"}
    # A number that is given again would let two changes pass for one.
    assert queue.raw.hget(queue.keys.stats, "recurring_revision") == b"1"


def test_a_repair_worked_out_before_a_job_moved_does_nothing(queue: QueueUnderTest) -> None:
    queue.seed_queued(3)
    queue.raw.hset(queue.keys.stats, "queued", 50)
    taken = Surveyor(lambda: queue.store, queue.name).take(0)
    assert taken is not None
    plan = checker(queue)._plan(taken)
    queue.enqueue()
    before = queue.stored()
    assert not amend(lambda: queue.store, queue.name, taken, plan)
    assert queue.stored() == before
    repair(queue)


def operate(queue: QueueUnderTest, stop: threading.Event, pace_s: float = 0) -> None:
    """A worker and a producer: something moves every `pace_s` seconds, or as often as it can."""
    rng = random.Random(7)
    session = queue.open()
    while not stop.wait(pace_s):
        queue.enqueue(rng.randint(1, 20), priority=rng.randint(-1, 1), delay_ms=rng.choice((0, 0, 5)))
        held = queue.fetch(session, rng.randint(1, 30))
        if not held.fence:
            continue
        choice = rng.randint(0, 3)
        if choice == 0:
            queue.release(held)
        elif choice == 1:
            queue.postpone(held, 3)
        else:
            queue.finish(held, keep_ms=rng.choice((0, 50)))


@pytest.mark.parametrize("entries", [5, 10_000])
def test_a_queue_at_work_is_never_called_damaged_and_never_changed(
    make_queue: MakeQueue, monkeypatch: pytest.MonkeyPatch, entries: int
) -> None:
    monkeypatch.setattr(survey, "_SMALL_ENTRIES", entries)
    working, looking = make_queue(finished_keep=50), make_queue()
    fill(working)
    stop = threading.Event()
    worker = threading.Thread(target=operate, args=(working, stop))
    worker.start()
    try:
        reports = [checker(looking, 0.05).repair() for _ in range(40)]
    finally:
        stop.set()
        worker.join(30)
    assert not worker.is_alive()
    allowed = {"clean"} if entries > 5 else {"clean", "busy"}
    assert {report.status for report in reports} <= allowed, reports
    assert all(not report.changes and not report.findings for report in reports)


def test_a_queue_at_work_is_repaired(make_queue: MakeQueue) -> None:
    working, looking = make_queue(), make_queue()
    stop = threading.Event()
    worker = threading.Thread(target=operate, args=(working, stop, 0.02))
    worker.start()
    try:
        for _ in range(10):
            looking.raw.hincrby(looking.keys.stats, "queued", 3)
            looking.raw.zpopmin(looking.keys.ready)
            assert checker(looking, 20).repair().status in ("clean", "repaired")
    finally:
        stop.set()
        worker.join(30)
    assert repair(looking).lost == 0


# Damage of every kind, at random.


def damage(queue: QueueUnderTest, key: str, how: str, at: int, junk: bytes) -> None:
    """Changes one thing by hand."""
    name = getattr(queue.keys, key)
    raw = queue.raw
    if how == "delete all":
        raw.delete(name)
        return
    is_hash = key in HASHES
    members = sorted(raw.hkeys(name) if is_hash else raw.zrange(name, 0, -1))
    if how == "add":
        if is_hash:
            raw.hset(name, junk or b"x", junk)
        else:
            raw.zadd(name, {junk: float(at)})
        return
    if not members:
        return
    member = members[at % len(members)]
    if how == "delete":
        raw.hdel(name, member) if is_hash else raw.zrem(name, member)
    elif how == "rename":
        if is_hash:
            raw.hset(name, member + b"9", raw.hget(name, member))
            raw.hdel(name, member)
        else:
            raw.zadd(name, {member[:-1] + b"1": raw.zscore(name, member)})
            raw.zrem(name, member)
    elif how == "alter" and is_hash:
        value = bytearray(raw.hget(name, member))
        # What the producer packed is not touched: its checksum is the worker's matter.
        end = value.find(b"FJ") if key == "chunks" else len(value)
        if value:
            value[at % max(1, end)] = junk[0] if junk else 48
        raw.hset(name, member, bytes(value))
    elif how == "alter":
        raw.zadd(name, {member: float(at)})
    elif how == "cut" and is_hash and key != "chunks":
        value = raw.hget(name, member)
        raw.hset(name, member, value[: at % (len(value) + 1)])
    elif how == "exchange" and len(members) > 1:
        other = members[(at + 1) % len(members)]
        if is_hash:
            one, two = raw.hmget(name, member, other)
            raw.hset(name, mapping={member: two, other: one})


damages = st.tuples(
    st.sampled_from((*HASHES, *ZSETS)),
    st.sampled_from(("delete", "delete", "delete all", "add", "rename", "alter", "alter", "cut", "exchange")),
    st.integers(0, 400),
    st.sampled_from((b"0", b"9", b" ", b"~", b"\xff", b"a~001", b"ghost", b"ghost~007", b"ghost~000+3", b"")),
)


@settings(RUNS, max_examples=120)
@given(st.lists(damages, min_size=1, max_size=6))
def test_any_damage_is_repaired_and_nothing_said_to_be_lost_that_is_there(
    server: ServerProcess, what: list[tuple[str, str, int, bytes]]
) -> None:
    queue = QueueUnderTest(server.url, new_id())
    try:
        fill(queue)
        for one in what:
            damage(queue, *one)
        chunks = {name.decode("latin-1"): value for name, value in queue.raw.hgetall(queue.keys.chunks).items()}
        first = checker(queue).check()
        assert first.status in ("clean", "drift")
        report = repair(queue)
        assert (first.status == "drift") == (report.status == "repaired")
        left = set(queue.raw.hkeys(queue.keys.chunks))
        for job in named(report, Finding.PAYLOAD_MISSING):
            chunk_id = job.partition("~")[0]
            packed = chunks.get(chunk_id, b"")
            assert b"FJ" not in packed or chunk_id.encode() not in left or int(job.partition("~")[2]) >= size(packed)
        works(queue)
    finally:
        queue.close()


def size(stored: bytes) -> int:
    return int.from_bytes(stored[stored.index(b"FJ") + 8 :][:2], "little")


def works(queue: QueueUnderTest) -> None:
    """A repaired queue can be used: all that waits can be fetched and finished, and what is held, given back."""
    for session in list(queue.raw.zrange(queue.keys.sessions, 0, -1)):
        while queue.close_session(session.decode())[1] == 0:
            pass
    queue.seed_due()
    queue.enqueue(2)
    queue.drain(queue.open())
    in_order(queue)
    counts = queue.counts()
    assert set(counts) <= {"failed", "cancelled", "finished"}


# The command.


def invoke(queue: QueueUnderTest, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    options = ["--url", queue.config.url or "", "--namespace", queue.config.namespace, "--queue", queue.name, "--json"]
    result = CliRunner().invoke(command, ["fsck", *arguments, *options], catch_exceptions=False)
    return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()]


def test_the_command_tells_by_its_exit_code(queue: QueueUnderTest) -> None:
    queue.seed_queued(3)
    assert invoke(queue) == (
        0,
        [
            {
                "queue": "default",
                "status": "clean",
                "lost": 0,
                "findings": [],
                "counters": {},
                "changes": {},
                "denied": None,
            }
        ],
    )
    queue.raw.hset(queue.keys.stats, "queued", 5)
    code, (told,) = invoke(queue)
    assert (code, told["status"], told["counters"]) == (1, "drift", {"queued": {"counted": "5", "there": 3}})
    code, (told,) = invoke(queue, "--fix")
    assert (code, told["status"]) == (0, "repaired")
    assert invoke(queue)[0] == 0


def test_a_large_queue_that_does_not_rest_is_said_to_be_busy(
    queue: QueueUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.seed_queued(3)
    monkeypatch.setattr(survey, "_SMALL_ENTRIES", 0)
    pages = Surveyor._pages

    def disturbed(self: Surveyor, name: str) -> Any:
        yield from pages(self, name)
        queue.raw.hincrby(queue.keys.stats, "enqueued_total", 1)

    monkeypatch.setattr(Surveyor, "_pages", disturbed)
    assert invoke(queue, "--patience", "0")[0] == 4


def test_people_are_told_what_is_lost(queue: QueueUnderTest) -> None:
    chunk_id = queue.seed_queued(2)
    queue.raw.hdel(queue.keys.chunks, chunk_id)
    options = ["--url", queue.config.url or "", "--namespace", queue.config.namespace, "--queue", queue.name]
    shown = CliRunner().invoke(command, ["fsck", *options])
    assert shown.exit_code == 1
    assert f"LOST: {Finding.PAYLOAD_MISSING.sentence} (2): {chunk_id}~000, {chunk_id}~001" in shown.output
    repair(queue)
