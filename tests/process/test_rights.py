"""A user with the rights that docs/redis.md names can do everything, and nothing beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import redis

from fastjobs import FastJobs, Status
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
    note.every(3600, 3, id="tick").run_now()
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
    for command in (["info"], ["workers", "ls"], ["queue", "ls"], ["failed", "ls"], ["jobs", "count"], ["fsck"]):
        result = run_here(SCRIPTS / "fastjobs", *command)
        assert result.returncode == 0, result.stderr
    assert late.cancel().status == Status.CANCELLED
    assert queue.clear() == 1
    app.close()


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
