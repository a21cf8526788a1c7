"""Sealed queues as producers and operators meet them: what is the same job, who may change what, what fsck may do."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator

import pytest

from fastjobs import FastJobs, JobIdConflict, Secret, Status
from fastjobs.errors import MissingKey, UntrustedChunk
from fastjobs.model.record import JobRecord
from fastjobs.model.stored import packed_chunk
from fastjobs.operating.fsck import Fsck
from fastjobs.store.keys import QueueKeys, queue_keys
from fastjobs.store.store import Store
from tests.harness.server import ServerProcess

OLD, NEW = (base64.b64encode(bytes((byte,)) * 32).decode() for byte in (1, 2))
MakeApp = Callable[..., FastJobs]
USES = pytest.mark.parametrize("use", ["signing_keys", "encryption_keys"])


@pytest.fixture
def make_app(server: ServerProcess, namespace: str) -> Iterator[MakeApp]:
    made: list[FastJobs] = []

    def make(**settings: object) -> FastJobs:
        app = FastJobs(server.url, namespace=namespace, **settings)
        app.job(name="note")(print)
        made.append(app)
        return app

    yield make
    for app in made:
        app.close()


@pytest.fixture
def keys(namespace: str) -> QueueKeys:
    return queue_keys(namespace, "default", 0)


def enqueue(app: FastJobs, *args: object, **options: object):
    return app._enqueuing.enqueue(note(app, **options).call(*args))


def note(app: FastJobs, **options: object):
    from fastjobs.jobtypes import JobType

    return JobType(app._enqueuing, app._registry["note"]).options(**options)


def store_of(app: FastJobs) -> Store:
    return Store(app._endpoint.connect(), app.config)


@USES
def test_a_job_enqueued_again_is_the_same_job_also_with_another_key(make_app, use):
    apps = [make_app(**{use: {"old": OLD}}), make_app(**{use: {"new": NEW, "old": OLD}})]
    for app in (apps[0], apps[0], apps[1], apps[1]):
        assert enqueue(app, "a", job_id="mine").id == "mine"
        with pytest.raises(JobIdConflict):
            enqueue(app, "b", job_id="mine")
        assert app.enqueue_many([note(app, job_id="mine").call("a"), note(app).call("c")])[0] == "mine"
    assert apps[0].jobs.count(Status.QUEUED) == 1 + 4


@USES
def test_a_job_that_left_its_chunk_is_still_the_same_when_it_is_enqueued_again(make_app, use):
    app = make_app(**{use: {"k": NEW}}, require_signed=True)
    enqueue(app, "a", job_id="mine", delay=60).set_priority(3)
    for _ in range(2):
        assert enqueue(app, "a", job_id="mine").id == "mine"
        with pytest.raises(JobIdConflict):
            enqueue(app, "b", job_id="mine")
    assert app.jobs.count(Status.SCHEDULED) == 1


def test_an_unsigned_job_is_not_the_same_as_a_signed_one(make_app):
    enqueue(make_app(), "a", job_id="mine")
    with pytest.raises(JobIdConflict):
        enqueue(make_app(signing_keys={"k": NEW}, require_signed=True), "a", job_id="mine")


@USES
def test_who_has_no_key_can_look_and_remove_and_nothing_else(make_app, use):
    owner, stranger = make_app(**{use: {"k": NEW}}), make_app()
    waiting, detached = enqueue(owner, "a", job_id="waiting"), enqueue(owner, "b", job_id="detached")
    detached.set_priority(3)
    owner.jobs.find("detached").cancel()
    for job_id, status in (("waiting", Status.QUEUED), ("detached", Status.CANCELLED)):
        seen = stranger.jobs.find(job_id if job_id == "waiting" else "detached~000")
        assert (seen.status, seen.args, seen.type) == (status, None, "")
        assert seen.error.type == "MissingKey"
        for change in (seen.reschedule, seen.cancel, lambda seen=seen: seen.set_priority(1)):
            with pytest.raises(MissingKey, match="cannot be changed here"):
                change()
    changed = stranger.jobs.where(status=Status.QUEUED).cancel_all()
    assert (changed, changed.skipped, changed.reasons[0][0]) == (0, 1, "waiting")
    assert [job.args for job in owner.jobs.list(Status.QUEUED).jobs] == [["a"]]
    assert detached.refresh().args == ["b"]
    stranger.jobs.find("waiting").destroy()
    assert owner.jobs.count(Status.QUEUED) == 0
    assert waiting.status is Status.QUEUED


def test_a_job_whose_record_is_not_genuine_is_not_the_same_either(make_app, keys, server):
    app = make_app(signing_keys={"k": NEW}, require_signed=True)
    enqueue(app, "a", job_id="mine", delay=60).set_priority(3)
    with server.client() as client:
        line, _, body = client.hget(keys.jobs, "mine~000").partition(b"\n")
        client.hset(keys.jobs, "mine~000", line + b"\n" + body[:-1] + b"x")
    with pytest.raises(JobIdConflict):
        enqueue(app, "a", job_id="mine")


def test_an_operator_with_the_key_signs_nothing_that_others_have_made(make_app, keys, server):
    app = make_app(signing_keys={"k": NEW}, require_signed=True)
    enqueue(app, "genuine", job_id="mine", delay=60).set_priority(1)
    forged = JobRecord(id="mine", type="note", payload=["forged", {}]).encode()
    with server.client() as client:
        line, _, _ = client.hget(keys.jobs, "mine~000").partition(b"\n")
        client.hset(keys.jobs, "mine~000", line + b"\n" + forged)
        job = app.jobs.find("mine~000")
        assert (job.args, job.error.type) == (None, "UntrustedChunk")
        for change in (job.reschedule, job.cancel, lambda: job.set_priority(2)):
            with pytest.raises(UntrustedChunk, match="cannot be changed here"):
                change()
        assert client.hget(keys.jobs, "mine~000") == line + b"\n" + forged
    job.destroy()
    assert app.jobs.count(Status.SCHEDULED) == 0


@USES
def test_a_recurring_job_defined_again_stays_as_it_is(make_app, use):
    app = make_app(**{use: {"k": NEW}}, require_signed=True)
    first = note(app).every(3600, Secret("a"), id="hourly").store()
    again = note(make_app(**{use: {"k": NEW}})).every(3600, Secret("a"), id="hourly").store()
    assert again.next_due == first.next_due
    assert app.recurring.find("hourly").args == [Secret("a")]
    run = again.run_now()
    assert app.jobs.find(run.id).args == [Secret("a")]
    with pytest.raises(MissingKey):
        make_app().recurring.find("hourly")


@USES
def test_fsck_needs_no_key_and_harms_nothing_that_is_sealed(make_app, use, keys, server):
    app = make_app(**{use: {"k": NEW}}, require_signed=True)
    ids = note(app).enqueue_many(range(5))
    enqueue(app, "d", job_id="detached", delay=60).set_priority(2)
    stranger = store_of(make_app())
    assert Fsck(lambda: stranger, "default").check().status == "clean"
    with server.client() as client:
        chunk_id = ids[0].partition("~")[0]
        stored = client.hget(keys.chunks, chunk_id)
        client.hset(keys.chunks, chunk_id, b"damaged " + packed_chunk(stored))
        record = client.hget(keys.jobs, "detached~000")
        client.hset(keys.jobs, "detached~000", b"damaged\n" + record.partition(b"\n")[2])
        client.hset(keys.stats, "queued", 77)
    report = Fsck(lambda: stranger, "default").repair()
    assert (report.status, report.lost) == ("repaired", 0)
    assert Fsck(lambda: stranger, "default").check().status == "clean"
    assert app.jobs.find(ids[4]).args == [4]
    assert app.jobs.find("detached").args == ["d"]
    assert app.jobs.counts()["default"][Status.QUEUED] == 5
    stranger.client.close()


def test_what_fsck_fails_can_be_looked_at_where_all_has_to_be_signed(make_app, keys, server):
    app = make_app(signing_keys={"k": NEW}, require_signed=True)
    job = enqueue(app, "a", job_id="lost")
    with server.client() as client:
        client.hdel(keys.chunks, "lost")
    own = store_of(app)
    assert Fsck(lambda: own, "default").repair().lost == 1
    assert job.refresh().status is Status.FAILED
    assert job.error.type == "PayloadMissing"
    own.client.close()
