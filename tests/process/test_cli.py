"""`fastjobs info` as it is run: what it shows, what it must not do, how it ends."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from fastjobs import FastJobs, NotEnqueued
from fastjobs.cli import exits
from fastjobs.store.keys import queues_key, workers_key
from tests.harness.commands import SCRIPTS, clean_environment, run
from tests.harness.server import ServerProcess
from tests.harness.waiting import wait_until

INFO = (SCRIPTS / "fastjobs", "info")

#: An app whose jobs wait for a file, and fail when it says so.
APP = """
import time
from pathlib import Path
from fastjobs import FastJobs
app = FastJobs()

@app.job(queue="gate", retries=0)
def pass_gate(number):
    while not Path("open").exists():
        time.sleep(0.01)
    if number == 13:
        raise ValueError("unlucky")
"""


@pytest.fixture
def app(server: ServerProcess, namespace: str) -> Iterator[FastJobs]:
    app = FastJobs(server.url, namespace=namespace)
    yield app
    app.close()


def enqueue(app: FastJobs, queue: str, number: int, **options: Any) -> None:
    app.job(name="noop")(_noop).options(queue=queue, **options).enqueue_many(range(number))


def _noop(number: int) -> None:
    pass


def get_info(app: FastJobs, tmp_path: Path) -> dict[str, Any]:
    result = run(*INFO, "--json", "--url", app.url, "--namespace", app.config.namespace, cwd=tmp_path)
    assert result.returncode == exits.OK, result.stderr
    info: dict[str, Any] = json.loads(result.stdout)
    return info


def seed_worker(server: ServerProcess, namespace: str, worker_id: str, **changes: object) -> None:
    now_ms = time.time_ns() // 1_000_000
    entry = {
        "worker": "host:1",
        "processes": 2,
        "threads": 4,
        "queues": ["mail"],
        "types": ["welcome"],
        "pids": [2, 3],
        "starting": [],
        "executed": 1234,
        "running": [{"id": "job~007", "pid": 2, "seconds": 0.5}],
        "quiet": False,
        "started_ms": now_ms - 60_000,
        "beat_ms": now_ms,
        "forgotten_ms": 300_000,
    }
    with server.client() as client:
        client.hset(workers_key(namespace).decode(), worker_id, orjson.dumps(entry | changes).decode())


@contextmanager
def watching(app: FastJobs, tmp_path: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [*INFO, "--url", app.url, "--namespace", app.config.namespace, *options]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


# What it shows.


def test_json_tells_the_counts_and_totals_of_every_queue(app: FastJobs, tmp_path: Path) -> None:
    enqueue(app, "mail", 1500)
    enqueue(app, "later", 3, delay=3600)

    info = get_info(app, tmp_path)

    assert info["namespace"] == app.config.namespace
    assert info["url"] == app.url
    assert info["server"].split()[0] in {"valkey", "redis"}
    assert list(info["queues"]) == ["later", "mail"]
    assert info["queues"]["mail"]["counts"] == {
        "scheduled": 0,
        "queued": 1500,
        "executing": 0,
        "retrying": 0,
        "finished": 0,
        "failed": 0,
        "cancelled": 0,
    }
    assert info["queues"]["later"]["counts"]["scheduled"] == 3
    assert info["queues"]["mail"]["totals"]["enqueued"] == 1500
    assert info["totals"]["enqueued"] == 1503


def test_table_shows_every_queue_and_their_sum(app: FastJobs, tmp_path: Path) -> None:
    enqueue(app, "mail", 1500)
    enqueue(app, "later", 3, delay=3600)

    result = run(*INFO, "--url", app.url, "--namespace", app.config.namespace, cwd=tmp_path)

    assert result.returncode == exits.OK
    rows = {cells[0]: cells[1:3] for cells in table_rows(result.stdout) if len(cells) == 8}
    assert rows["later"] == ["3", "0"]
    assert rows["mail"] == ["0", "1,500"]
    assert rows["all"] == ["3", "1,500"]
    assert "no worker is running" in result.stdout
    assert "1,503 enqueued" in result.stdout
    assert "\x1b" not in result.stdout


def when(look: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(look["at"])


def table_rows(text: str) -> list[list[str]]:
    return [re.split(" {2,}", line) for line in text.splitlines() if "  " in line]


def test_info_tells_what_a_real_worker_is_doing_and_that_it_left(app: FastJobs, tmp_path: Path) -> None:
    (tmp_path / "gate.py").write_text(APP)
    environment = clean_environment(
        FASTJOBS_URL=app.url, FASTJOBS_NAMESPACE=app.config.namespace, FASTJOBS_LEASE_S="0.6"
    )
    app.job(name="pass_gate", queue="gate", retries=0)(_noop).enqueue_many(range(20))
    with (tmp_path / "log").open("wb") as log:
        command = [SCRIPTS / "fastjobs-worker", "gate.py", "-p", "2", "--batch-size", "1", "--burst"]
        worker = subprocess.Popen(command, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, stderr=log)
    try:
        wait_until(lambda: running_jobs(app, tmp_path) == 2, 20, "both processes run a job")
        (seen,) = get_info(app, tmp_path)["workers"]
        assert seen["name"].endswith(f":{worker.pid}")
        assert (seen["processes"], seen["threads"]) == (2, 1)
        assert seen["queues"] == ["gate"]
        assert seen["types"] == ["pass_gate"]
        assert len(seen["pids"]) == 2
        table = run(*INFO, "--url", app.url, "--namespace", app.config.namespace, cwd=tmp_path).stdout
        assert [seen["name"], "2 x 1", "gate"] in [cells[:3] for cells in table_rows(table)]

        (tmp_path / "open").touch()
        assert worker.wait(30) == exits.OK
    finally:
        worker.kill()
        worker.wait()
    info = get_info(app, tmp_path)
    assert info["workers"] == []
    assert info["queues"]["gate"]["counts"]["finished"] == 19
    assert info["queues"]["gate"]["counts"]["failed"] == 1
    assert info["totals"]["finished"] == 19


def running_jobs(app: FastJobs, tmp_path: Path) -> int:
    return sum(len(worker["running"]) for worker in get_info(app, tmp_path)["workers"])


def test_workers_silent_for_longer_than_they_said_are_left_out(
    app: FastJobs, server: ServerProcess, tmp_path: Path
) -> None:
    now_ms = time.time_ns() // 1_000_000
    seed_worker(server, app.config.namespace, "alive", worker="alive:1", beat_ms=now_ms - 30_000)
    seed_worker(server, app.config.namespace, "gone", worker="gone:1", beat_ms=now_ms - 301_000)

    assert [worker["name"] for worker in get_info(app, tmp_path)["workers"]] == ["alive:1"]


def test_entries_of_other_releases_do_not_break_the_list(app: FastJobs, server: ServerProcess, tmp_path: Path) -> None:
    seed_worker(server, app.config.namespace, "newer", worker="newer:1", invented_later=[1, 2])
    seed_worker(server, app.config.namespace, "odd", processes={"many": True})
    with server.client() as client:
        client.hset(workers_key(app.config.namespace).decode(), "broken", "{not json")

    assert [worker["name"] for worker in get_info(app, tmp_path)["workers"]] == ["newer:1"]


def test_control_characters_from_the_store_reach_no_terminal(
    app: FastJobs, server: ServerProcess, tmp_path: Path
) -> None:
    seed_worker(server, app.config.namespace, "evil", worker="\x1b[2Jevil\r", queues=["[red]\x9b31m"])
    with server.client() as client:
        client.sadd(queues_key(app.config.namespace).decode(), "\x1b]0;title\x07")

    text = run(*INFO, "--url", app.url, "--namespace", app.config.namespace, cwd=tmp_path).stdout
    shown = run(*INFO, "--json", "--url", app.url, "--namespace", app.config.namespace, cwd=tmp_path).stdout

    for output in (text, shown.rstrip("\n")):
        assert all(char.isprintable() or char == "\n" for char in output)
    assert r"\x1b[2Jevil\r" in text
    assert r"[red]\x9b31m" in text


def test_rates_come_from_what_was_counted_between_two_looks(app: FastJobs, tmp_path: Path) -> None:
    enqueue(app, "mail", 10)
    with watching(app, tmp_path, "--watch", "0.1", "--json") as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert first["rates"] is None
        enqueue(app, "mail", 5000)
        looks = [first]
        while looks[-1]["totals"]["enqueued"] < 5010:
            looks.append(json.loads(process.stdout.readline()))
        rates = [look["rates"]["enqueued"] for look in looks[1:]]
        assert rates[-1] > 0
        # Nothing else was enqueued, so no time passed in which more can have been counted.
        passed_s = (when(looks[-1]) - when(first)).total_seconds()
        assert max(rates) * passed_s >= 5000 * 0.5
        assert looks[-1]["rates"]["finished"] == 0
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == exits.OK


def test_watch_redraws_the_same_table_on_a_terminal(app: FastJobs, tmp_path: Path) -> None:
    enqueue(app, "mail", 1500)
    command = [*INFO, "--url", app.url, "--namespace", app.config.namespace, "--watch", "0.1", "--count", "3"]
    terminal, theirs = pty.openpty()
    environment = clean_environment(TERM="xterm", COLUMNS="120", LINES="40")
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    try:
        output = read_to_end(terminal, 30)
        assert process.wait(10) == exits.OK
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    # The last picture is drawn once more, to stay.
    assert output.count("1,500 enqueued") == 4
    cursor_up = "\x1b[1A"
    assert cursor_up in output


def read_to_end(terminal: int, timeout_s: float) -> str:
    """All that is written to a terminal until its other side is closed."""
    deadline = time.monotonic() + timeout_s
    output = b""
    while True:
        left_s = deadline - time.monotonic()
        assert left_s > 0 and select.select([terminal], [], [], left_s)[0], "the command goes on"
        try:
            data = os.read(terminal, 65536)
        except OSError:  # how Linux tells that nobody has it open any more
            data = b""
        if not data:
            return output.decode()
        output += data


def test_watch_without_a_terminal_prints_one_table_per_look(app: FastJobs, tmp_path: Path) -> None:
    enqueue(app, "mail", 7)
    result = run(
        *INFO, "--url", app.url, "--namespace", app.config.namespace, "--watch", "0.1", "--count", "2", cwd=tmp_path
    )
    assert result.returncode == exits.OK
    assert result.stdout.count("7 enqueued") == 2
    assert result.stdout.count("jobs/s:") == 1


# What it needs, and what it leaves alone.


def test_info_needs_no_code_of_the_app(server: ServerProcess, namespace: str, tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "pyproject.toml").write_text(
        f'[tool.fastjobs]\nurl = "{server.url}"\nnamespace = "{namespace}"\napp = "jobs.py"\n'
    )
    result = run(*INFO, "--json", cwd=tmp_path)
    assert result.returncode == exits.OK, result.stderr
    assert json.loads(result.stdout)["namespace"] == namespace


def test_info_takes_server_and_namespace_from_an_app_that_is_named(app: FastJobs, tmp_path: Path) -> None:
    enqueue(app, "mail", 2)
    (tmp_path / "shop.py").write_text(
        f"from fastjobs import FastJobs\napp = FastJobs({app.url!r}, namespace={app.config.namespace!r})\n"
    )
    result = run(*INFO, "--json", "shop:app", cwd=tmp_path)
    assert result.returncode == exits.OK, result.stderr
    assert json.loads(result.stdout)["totals"]["enqueued"] == 2


def test_info_starts_the_projects_own_server_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    try:
        result = run(*INFO, "--json", cwd=tmp_path)
        assert result.returncode == exits.OK, result.stderr
        assert json.loads(result.stdout)["queues"] == {}
        assert "embedded server started" in result.stderr
    finally:
        stopped = run(SCRIPTS / "fastjobs", "server", "stop", cwd=tmp_path)
    assert stopped.stdout == "stopped\n"


def test_info_works_on_a_server_that_is_out_of_memory(tmp_path: Path) -> None:
    with ServerProcess() as full:
        app = FastJobs(full.url, namespace="full", retry_budget_s=0)
        enqueue(app, "mail", 10)
        with full.client() as client:
            client.config_set("maxmemory", 1)
            # Nor does it find the scripts already there.
            client.script_flush()
        with pytest.raises(NotEnqueued):
            enqueue(app, "mail", 1)
        app.close()
        assert get_info(app, tmp_path)["queues"]["mail"]["counts"]["queued"] == 10


def test_info_writes_nothing(app: FastJobs, server: ServerProcess, tmp_path: Path) -> None:
    enqueue(app, "mail", 10)
    seed_worker(server, app.config.namespace, "gone", beat_ms=0)
    before = dump(server, app.config.namespace)

    get_info(app, tmp_path)

    assert before
    assert dump(server, app.config.namespace) == before


def dump(server: ServerProcess, namespace: str) -> dict[bytes, bytes]:
    with server.client() as client:
        return {key: client.dump(key) for key in sorted(client.scan_iter(f"*fastjobs:{namespace}*"))}


# How it ends when something is wrong.


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--url", "unix:///nonexistent/socket"], exits.NO_SERVER, "no connection to the server"),
        (["--url", "redis://user:hunter2@127.0.0.1:1"], exits.NO_SERVER, "no connection to the server"),
        (["--url", "http://localhost"], exits.USAGE, "scheme 'http' is not supported"),
        (["--url", "redis://localhost:port"], exits.USAGE, "the server URL is not usable"),
        (["--namespace", "a b"], exits.USAGE, "is not a name"),
        (["absent.py"], exits.USAGE, "there is no file"),
    ],
)
def test_an_error_is_one_line_and_a_named_exit_code(
    arguments: list[str], code: int, message: str, tmp_path: Path
) -> None:
    result = run(*INFO, *arguments, cwd=tmp_path)
    assert result.returncode == code
    assert result.stdout == ""
    assert result.stderr.startswith("fastjobs: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert "hunter2" not in result.stderr


def test_a_line_of_an_error_cannot_steer_the_terminal(tmp_path: Path) -> None:
    result = run(*INFO, "\x1b[2J.py", cwd=tmp_path)
    assert result.returncode == exits.USAGE
    assert r"\x1b[2J.py" in result.stderr
    assert "\x1b" not in result.stderr


def test_a_server_that_dies_while_watched_ends_the_watch(tmp_path: Path) -> None:
    with ServerProcess() as server:
        app = FastJobs(server.url, namespace="dies")
        with watching(app, tmp_path, "--watch", "0.1", "--json") as process:
            assert process.stdout is not None
            process.stdout.readline()
            server.kill()
            assert process.wait(20) == exits.NO_SERVER


@pytest.mark.parametrize("arguments", [["--count", "2"], ["--watch", "0"], ["--nonsense"]])
def test_wrong_usage_ends_with_the_code_for_it(arguments: list[str], tmp_path: Path) -> None:
    assert run(*INFO, *arguments, cwd=tmp_path).returncode == exits.USAGE


def test_the_command_lists_its_subcommands(tmp_path: Path) -> None:
    result = run(SCRIPTS / "fastjobs", "--help", cwd=tmp_path)
    assert result.returncode == exits.OK
    for name in ("info", "server"):
        assert f"\n  {name}" in result.stdout
