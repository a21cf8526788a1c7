"""Signed and encrypted jobs, and secret arguments, with real workers: what is genuine runs, what is not fails."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from fastjobs import Secret, Status
from fastjobs._core import ChunkWriter
from fastjobs.config import Config
from fastjobs.model.definition import Definition
from fastjobs.model.record import JobRecord
from fastjobs.model.schedules import read_schedule
from fastjobs.server.connection import Client
from fastjobs.store.keys import queue_keys
from fastjobs.store.sealing import Keyring
from fastjobs.store.store import Store
from tests.harness.appfile import AppFile
from tests.harness.commands import SCRIPTS, run
from tests.harness.queue import origin
from tests.harness.server import ServerProcess
from tests.harness.waiting import wait_until
from tests.harness.worker import tracebacks

OLD, NEW = (base64.b64encode(bytes((byte,)) * 32).decode() for byte in (1, 2))
SECRET = "correct horse"
MakeApp = Callable[..., AppFile]


@pytest.fixture
def make_app(
    server: ServerProcess, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeApp]:
    made: list[AppFile] = []

    def make(**settings: str) -> AppFile:
        for name, value in settings.items():
            monkeypatch.setenv(f"FASTJOBS_{name.upper()}", value)
        made.append(AppFile("sealed", server, namespace, tmp_path, monkeypatch))
        return made[-1]

    yield make
    for app_file in made:
        app_file.close()


@pytest.fixture(params=["signing_keys", "encryption_keys"])
def sealed(request: pytest.FixtureRequest, make_app: MakeApp) -> AppFile:
    return make_app(**{request.param: f"new:{NEW},old:{OLD}", "require_signed": "true"})


def stored_anywhere(server: ServerProcess, namespace: str) -> bytes:
    """All that the server holds of a namespace."""
    found = []
    with server.client() as client:
        for key in client.keys(f"*{namespace}*"):
            kind = client.type(key)
            read = {b"hash": client.hgetall, b"set": client.smembers, b"list": lambda k: client.lrange(k, 0, -1)}
            found.append(repr(read[kind](key) if kind in read else client.zrange(key, 0, -1)).encode())
    return b"\n".join(found)


def test_all_that_can_become_of_jobs_becomes_of_sealed_ones(sealed: AppFile, server, namespace) -> None:
    ids = sealed.plain.enqueue_many(f"plain{number}" for number in range(500))
    raised = sealed.meets.enqueue("raised", ["raise"])
    failed = sealed.meets.enqueue("failed", ["raise"] * 3)
    crashed = sealed.meets.enqueue("crashed", ["crash"])
    recurring = sealed.plain.every(0.2, "recurring", id="often").store()
    sealed.start_worker()
    sealed.wait_for_status(raised, Status.FINISHED)
    sealed.wait_for_status(failed, Status.FAILED)
    sealed.wait_for_status(crashed, Status.FINISHED)
    sealed.wait_for_note("recurring ran")
    wait_until(lambda: len(set(sealed.notes()) & {f"plain{n} ran" for n in range(500)}) == 500, 30, "all have run")
    recurring.cancel()
    assert failed.args == ["failed", ["raise"] * 3]
    assert [error.message for error in failed.errors] == ["as asked"] * 3
    assert crashed.errors[0].type == "WorkerCrashed"
    assert sealed.app.jobs.find(ids[400]).args == ["plain400"]
    failed.reschedule()
    wait_until(lambda: sealed.notes().count("failed 1 raise") == 2, 30, "the failed job runs again")
    sealed.wait_for_status(failed, Status.FAILED)
    everything = stored_anywhere(server, namespace)
    encrypted = sealed.app.config.encryption_keys is not None
    assert (b"as asked" in everything) != encrypted
    assert (b"raise" in everything) != encrypted
    assert not tracebacks(sealed.log)


def packed(*values: str, at_ms: int = 1_700_000_000_000) -> bytes:
    writer = ChunkWriter()
    for value in values:
        writer.add(writer.entry("plain"), (value,))
    return writer.finish(at_ms)


def flipped(stored: bytes, position: int) -> bytes:
    """With a byte changed, and the checksum put right."""
    changed = bytearray(stored)
    changed[position] ^= 1
    return bytes(changed[:4]) + zlib.crc32(changed[8:]).to_bytes(4, "little") + bytes(changed[8:])


def test_what_nobody_with_a_key_has_enqueued_fails_and_never_runs(sealed: AppFile, server, namespace) -> None:
    attacker = Store(Client(server.url), Config(namespace=namespace))
    genuine = Keyring(sealed.app.config).seal_chunk("default", "genuine", packed("forged"))
    chunks = {
        "unsigned": packed("forged"),
        "copied": genuine,
        **{f"changed{position}": flipped(genuine, position) for position in (8, 16, 20, 30, 60, len(genuine) - 1)},
    }
    # What looks as if others could read it, for example of another key, waits for them instead.
    waiting = {f"waits{position}": flipped(genuine, position) for position in (2, 3, 22, 23, 24, 25)}
    for chunk_id, blob in {**chunks, **waiting}.items():
        attacker.batch().enqueue("default", chunk_id, 1, 0, blob, origin()).run()
    attacker.batch().enqueue("default", "many", 3, 0, packed("forged", "forged", "forged"), origin()).run()
    # A record of a job that is to be run again, and a definition of a recurring job.
    sealed.plain.options(job_id="detached", delay=3600).enqueue("genuine")
    job = sealed.app.jobs.find("detached")
    job.set_priority(5)
    keys = attacker.keys("default")
    with server.client() as client:
        line, _, _ = client.hget(keys.jobs, "detached~000").partition(b"\n")
        forged = JobRecord(id="detached", type="plain", payload=["forged", {}], priority=5)
        client.hset(keys.jobs, "detached~000", line + b"\n" + forged.encode())
        for member in client.zrange(keys.scheduled, 0, -1):
            client.zadd(keys.scheduled, {member: 1})
    definition = Definition(id="nightly", schedule=read_schedule("every 100 0"), type="plain", payload=["forged", {}])
    attacker.batch().define_recurring("default", definition, 1).run()
    last = sealed.plain.enqueue("last")

    sealed.start_worker()

    sealed.wait_for_status(last, Status.FINISHED)
    everyone = [*chunks, *(f"many~{index:03d}" for index in range(3)), "detached~000"]
    wait_until(lambda: sealed.app.jobs.count(Status.FAILED) == len(everyone), 30, "all forged jobs have failed")
    for job_id in everyone:
        error = sealed.app.jobs.find(job_id).error
        assert error is not None
        assert error.type in ("UntrustedChunk", "CorruptChunk"), (job_id, error)
    assert sealed.app.jobs.find("unsigned").error.message == "it is not signed, and require_signed is on"
    assert "was changed" in sealed.app.jobs.find("copied").error.message
    assert {sealed.app.jobs.find(job_id).status for job_id in waiting} == {Status.SCHEDULED}
    wait_until(lambda: "cannot enqueue recurring job" in sealed.log, 30, "the forged definition is told")
    assert sealed.notes() == ["last ran"]
    # Nobody makes it genuine by letting it run again.
    sealed.app.jobs.where(status=Status.FAILED).retry_all()
    again = sealed.plain.enqueue("again")
    sealed.wait_for_status(again, Status.FINISHED)
    wait_until(lambda: sealed.app.jobs.count(Status.FAILED) == len(everyone), 30, "they have failed again")
    assert sealed.notes() == ["last ran", "again ran"]
    assert not tracebacks(sealed.log)
    assert "died" not in sealed.log
    attacker.client.close()


def test_a_job_of_a_key_that_is_not_known_yet_waits_for_a_worker_that_has_it(
    make_app: MakeApp, server, namespace
) -> None:
    newer = make_app(encryption_keys=f"new:{NEW},old:{OLD}", require_signed="true")
    job = newer.plain.enqueue("early")
    older = make_app(encryption_keys=f"old:{OLD}")
    worker = older.start_worker()
    wait_until(lambda: "cannot read chunk, leaving it to another worker" in older.log, 30, "it is put off")
    wait_until(lambda: newer.app.jobs.count(Status.SCHEDULED) == 1, 30, "it waits")
    worker.terminate()
    worker.wait(30)
    assert older.app.jobs.find(job.id).error.type == "MissingKey"
    with server.client() as client:
        scheduled = queue_keys(namespace, "default", 0).scheduled
        (member,) = client.zrange(scheduled, 0, -1)
        client.zadd(scheduled, {member: 1})
    newest = make_app(encryption_keys=f"new:{NEW}")
    newest.start_worker()
    newest.wait_for_status(job, Status.FINISHED)
    assert newest.notes() == ["early ran"]


@pytest.mark.parametrize("settings", [{}, {"encryption_keys": f"new:{NEW}", "require_signed": "true"}])
def test_a_secret_reaches_its_handler_and_nobody_else(make_app: MakeApp, server, namespace, tmp_path, settings) -> None:
    app_file = make_app(log_level="debug", **settings)
    job = app_file.connect.enqueue("db1", Secret(SECRET), options={"token": Secret("abc")})
    many = app_file.connect.enqueue_many([("db2", Secret(SECRET)), {"host": "db3", "password": Secret("four")}])
    recurring = app_file.connect.options(retries=0).every(3600, "db4", Secret(SECRET), id="hourly").store()
    shown = [repr(job), repr(recurring), repr(recurring.args), repr(app_file.connect.call("db1", Secret(SECRET)))]
    run_now = recurring.run_now()
    app_file.start_worker("--log-level", "debug")

    app_file.wait_for_status(job, Status.FINISHED)
    wait_until(lambda: app_file.app.jobs.count(Status.FINISHED) == 3, 30, "all have run")
    app_file.wait_for_status(run_now, Status.FAILED)

    assert app_file.notes().count("db1 *** 13 {'token': 3}") == 2
    assert app_file.notes().count("db2 *** 13 {}") == 2
    assert app_file.notes().count("db3 *** 4 {}") == 2
    assert app_file.notes().count("db4 *** 13 {}") == 1
    assert job.args == ["db1", Secret(SECRET)]
    for found in (job, app_file.app.jobs.find(many[0]), app_file.app.jobs.find(run_now.id)):
        shown += [repr(found.args), str(found.kwargs), repr(found.errors)]
    for *command, as_json in (
        ("job", "show", job.id, False),
        ("job", "show", job.id, True),
        ("jobs", "ls", "finished", False),
        ("jobs", "ls", "failed", True),
        ("recurring", "ls", True),
    ):
        json_flag = ["--json"] if as_json else []
        result = run(SCRIPTS / "fastjobs", *command, *json_flag, cwd=tmp_path, **settings_of(app_file, settings))
        assert result.returncode == 0, result.stderr
        shown.append(result.stdout + result.stderr)
    assert "***" in shown[-5]
    for text in (*shown, app_file.log):
        assert SECRET not in text
    assert "connecting to db1 with ***" in app_file.log
    assert (SECRET.encode() in stored_anywhere(server, namespace)) == (not settings)
    recurring.cancel()


def settings_of(app_file: AppFile, settings: dict[str, str]) -> dict[str, str]:
    ours = {"url": app_file.app.url, "namespace": app_file.app.config.namespace, **settings}
    return {f"FASTJOBS_{name.upper()}": value for name, value in ours.items()}


def test_keys_are_in_no_log_banner_or_process_title(sealed: AppFile) -> None:
    sealed.plain.enqueue("one")
    worker = sealed.start_worker("--log-level", "debug")
    sealed.wait_for_note("one ran")
    family = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True)]
    titles = [" ".join(process.cmdline()) for process in family]
    assert len(titles) >= 2
    for text in (sealed.log, *titles, repr(sealed.app.config)):
        for key in (OLD, NEW):
            assert key not in text
