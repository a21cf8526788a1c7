"""A user with the rights that docs/redis.md names can do everything, and nothing beside it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import redis

from fastjobs import FastJobs, Status
from fastjobs.operating.doctor import Check
from fastjobs.store.keys import queue_keys
from tests.harness.commands import SCRIPTS, run
from tests.harness.server import ServerProcess

PAGE = Path(__file__).resolve().parents[2] / "docs" / "redis.md"
CODE = """
from fastjobs import FastJobs

app = FastJobs()


@app.job
def note(number: int) -> None:
    if number == 13:
        raise ValueError(number)
"""


@pytest.fixture
def guarded() -> Iterator[ServerProcess]:
    with ServerProcess() as process:
        line = re.search(r"^ACL SETUSER fastjobs .*$", PAGE.read_text(), re.MULTILINE)
        assert line is not None
        with process.client() as admin:
            admin.execute_command(*line[0].replace("PASSWORD", "secret").split())
        yield process


def test_the_rights_that_are_named_are_enough(guarded: ServerProcess, tmp_path: Path) -> None:
    url = guarded.url.replace("unix://", "unix://fastjobs:secret@")
    (tmp_path / "jobs.py").write_text(CODE)
    app = FastJobs(url, namespace="rights")

    @app.job(retries=0)
    def note(number: int) -> None: ...

    ids = note.enqueue_many(range(100))
    late = note.options(delay=3600).enqueue(1)
    with app.buffered():
        note.enqueue(2)
    note.every(3600, 3, id="tick").store().run_now()
    app.jobs.find(ids[5]).set_priority(3).cancel().reschedule().destroy()
    run_here = partial(run, cwd=tmp_path, FASTJOBS_URL=url, FASTJOBS_NAMESPACE="rights", FASTJOBS_RETRIES="0")
    worked = run_here(SCRIPTS / "fastjobs-worker", "-p", "2", "--burst")
    assert worked.returncode == 0, worked.stderr
    assert app.jobs.counts()["default"][Status.FINISHED] == 100
    for status in Status:
        app.jobs.list(status)
    assert app.jobs.where(status=Status.FAILED).retry_all() == 1
    queue = app.queue("default")
    queue.pause()
    queue.resume()
    assert queue.latency().total_seconds() >= 0
    for recurring in app.recurring.list():
        recurring.pause()
        recurring.resume()
        recurring.cancel()
    for command in (
        ["info"],
        ["workers", "ls"],
        ["queue", "ls"],
        ["failed", "ls"],
        ["jobs", "count"],
        ["fsck"],
        ["doctor"],
    ):
        result = run_here(SCRIPTS / "fastjobs", *command)
        assert result.returncode == 0, result.stderr
    assert late.cancel().status == Status.CANCELLED
    assert queue.clear() == 1
    app.close()


@pytest.fixture
def stored(guarded: ServerProcess, tmp_path: Path) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Jobs in each kind of place, stored by the user of the page; a runner of commands as that user."""
    url = guarded.url.replace("unix://", "unix://fastjobs:secret@")
    app = FastJobs(url, namespace="rights")
    note = app.job(name="note")(print)
    note.enqueue_many(range(3000))
    note.options(delay=3600).enqueue(1)
    note.enqueue(2).set_priority(3)
    note.enqueue(3).cancel()
    note.every(3600, 4, id="tick").store()
    app.close()
    yield partial(run, SCRIPTS / "fastjobs", cwd=tmp_path, FASTJOBS_URL=url, FASTJOBS_NAMESPACE="rights")


def lacking(server: ServerProcess, *rules: str) -> None:
    with server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "fastjobs", *rules)


def names_rights(server: ServerProcess) -> bool:
    """Whether the server names the right that a script lacked; Redis 7.0 does not."""
    with server.client() as admin:
        return not str(admin.info("server")["redis_version"]).startswith("7.0.")


def damage(server: ServerProcess) -> None:
    keys = queue_keys("rights", "default", 0)
    with server.client() as admin:
        admin.hset(keys.stats, "queued", 7)
        admin.hset(keys.jobs, "nobody~000", "rubbish")
        admin.zremrangebyrank(keys.ready, 0, 0)


def test_fsck_finds_and_repairs_with_the_rights_that_are_named(guarded, stored):
    assert stored("fsck").returncode == 0
    damage(guarded)
    assert "nobody~000" in stored("fsck").stdout
    fixed = stored("fsck", "--fix")
    assert (fixed.returncode, fixed.stdout.splitlines()[0]) == (0, "default: repaired")
    assert stored("fsck").stdout == "default: everything fits\n"


@pytest.mark.parametrize("command", ["hscan", "zscan", "hgetall"])
def test_fsck_names_the_right_that_it_lacks_and_does_not_say_that_all_fits(guarded, stored, command):
    damage(guarded)
    lacking(guarded, f"-{command}")
    for options in ([], ["--fix"]):
        result = stored("fsck", *options)
        assert (result.returncode, result.stderr) == (6, "")
        assert "this user lacks a right" in result.stdout
        assert "docs/redis.md" in result.stdout
        assert f"+{command}" in result.stdout or not names_rights(guarded)
    lacking(guarded, f"+{command}")
    assert stored("fsck", "--fix").returncode == 0


def test_fsck_that_may_not_write_says_so(guarded, stored):
    damage(guarded)
    lacking(guarded, "-zadd")
    result = stored("fsck", "--fix", "--json")
    told = json.loads(result.stdout)
    assert (result.returncode, told["status"]) == (6, "denied")
    assert "zadd" in told["denied"] or not names_rights(guarded)


def test_doctor_says_what_it_could_not_check(guarded, stored):
    result = stored("doctor")
    assert result.returncode == 0, result
    assert "warning  persistence: AOF is on; appendfsync was not checked" in result.stdout
    assert "give this user the right +config|get" in result.stdout
    lacking(guarded, "+config|get")
    assert "ok       persistence: AOF is on, appendfsync everysec" in stored("doctor").stdout
    lacking(guarded, "-info", "-hgetall", "-smembers", "-time")
    result = stored("doctor", "--json")
    told = {one["name"]: one for one in map(json.loads, result.stdout.splitlines())}
    assert set(told) == set(Check)
    assert {name for name, one in told.items() if one["level"] == "ok"} == {"fastjobs", "scripts"}
    assert all("not checked: " in told[name]["text"] for name in set(Check) - {"fastjobs", "scripts"})
    lacking(guarded, "-script|load", "-evalsha")
    assert re.search(
        "^problem  scripts: NOPERM .* has no permissions to run the 'script.load'",
        stored("doctor").stdout,
        re.MULTILINE,
    )


def test_without_aof_doctor_does_not_claim_what_it_could_not_read(guarded, stored):
    with guarded.client() as admin:
        admin.config_set("appendonly", "no")
    told = [json.loads(line) for line in stored("doctor", "--json").stdout.splitlines()]
    (persistence,) = [one for one in told if one["name"] == "persistence"]
    assert (persistence["level"], "whether there are snapshots was not checked" in persistence["text"]) == (
        "warning",
        True,
    )


def test_other_keys_and_commands_are_out_of_reach(guarded: ServerProcess) -> None:
    with redis.Redis(unix_socket_path=guarded.socket, username="fastjobs", password="secret") as user:
        for command in (
            ["GET", "other"],
            ["HGET", "other", "field"],
            ["FLUSHALL"],
            ["CONFIG", "GET", "*"],
            ["KEYS", "*"],
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                user.execute_command(*command)
