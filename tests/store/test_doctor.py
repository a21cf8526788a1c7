"""doctor: each problem is provoked on a real server, found, and told with what to do about it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from fastjobs.cli.main import command
from fastjobs.config import Config
from fastjobs.errors import AccessDenied
from fastjobs.operating.doctor import Check, Diagnosis, Doctor, Level
from fastjobs.operating.queues import Queue
from fastjobs.server.connection import Client
from fastjobs.store.keys import workers_key
from fastjobs.store.store import Store
from tests.harness.proxy import Proxy
from tests.harness.queue import QueueUnderTest
from tests.harness.server import ServerProcess
from tests.harness.waiting import wait_until

PATIENCE_S = 20.0


@pytest.fixture
def own() -> Iterator[ServerProcess]:
    """A server whose settings may be changed."""
    with ServerProcess() as process:
        yield process


def examine(url: str, now_s: Callable[[], float] = time.time, **settings: object) -> dict[str, Diagnosis]:
    """What the doctor says; of several findings of one name the worst."""
    config = Config(url=url, **settings)
    store = Store(Client(url, 5.0), config)
    try:
        found = Doctor(lambda: store, lambda: ["default"], url, now_s).examine()
    finally:
        store.client.close()
    return {finding.name: finding for finding in sorted(found, key=lambda finding: list(Level).index(finding.level))}


def setting(server: ServerProcess, name: str, value: str) -> None:
    with server.client() as client:
        client.config_set(name, value)


def test_a_fit_server_has_no_problem(own: ServerProcess) -> None:
    found = examine(own.url)
    levels = {finding.name: finding.level for finding in found.values() if finding.name not in ("workers", "latency")}
    assert set(levels.values()) == {Level.OK}, found
    assert set(found) == set(Check)
    assert "core" in found["fastjobs"].text
    assert all(finding.advice for finding in found.values() if finding.level is not Level.OK)


@pytest.mark.parametrize(
    ("settings", "level", "words"),
    [
        ({"appendfsync": "no"}, Level.WARNING, "appendfsync no"),
        ({"appendonly": "no", "save": "60 1"}, Level.WARNING, "since the last snapshot"),
        ({"appendonly": "no", "save": ""}, Level.PROBLEM, "loses all jobs"),
    ],
)
def test_what_would_lose_jobs_in_a_crash_is_found(
    own: ServerProcess, settings: dict[str, str], level: Level, words: str
) -> None:
    for name, value in settings.items():
        setting(own, name, value)
    found = examine(own.url)["persistence"]
    assert (found.level, words in found.text) == (level, True), found


def test_a_server_that_throws_jobs_away_is_a_problem_once_it_has_a_limit(own: ServerProcess) -> None:
    setting(own, "maxmemory-policy", "allkeys-lru")
    assert examine(own.url)["eviction"].level is Level.WARNING
    setting(own, "maxmemory", "1gb")
    assert examine(own.url)["eviction"].level is Level.PROBLEM


def test_memory_that_runs_out_is_found(own: ServerProcess) -> None:
    with own.client() as client:
        client.setrange("ballast", 32 << 20, "x")
        used = int(client.info("memory")["used_memory"])
    setting(own, "maxmemory", str(int(used / 0.95)))
    assert examine(own.url)["memory"].level is Level.PROBLEM
    setting(own, "maxmemory", str(int(used / 0.8)))
    assert examine(own.url)["memory"].level is Level.WARNING
    setting(own, "maxmemory", str(used * 3))
    assert examine(own.url)["memory"].level is Level.OK


def test_replicas_that_durability_asks_for_are_missed(own: ServerProcess) -> None:
    assert examine(own.url)["replication"].level is Level.OK
    assert "durability asks for 2" in examine(own.url, durability="replicated", replicas=2)["replication"].text


def test_a_replica_and_what_its_primary_goes_on_without_are_found(own: ServerProcess) -> None:
    port = free_port()
    setting(own, "port", str(port))
    with ServerProcess("--replicaof", f"127.0.0.1 {port}") as replica:
        with own.client() as client:
            wait_until(lambda: int(client.info("replication")["connected_slaves"]) == 1, PATIENCE_S, "it is connected")
        found = examine(own.url, durability="replicated")["replication"]
        assert (found.level, "min-replicas-to-write is 0" in found.text) == (Level.WARNING, True)
        setting(own, "min-replicas-to-write", "1")
        assert examine(own.url, durability="replicated")["replication"].level is Level.OK
        with replica.client() as client:
            wait_until(lambda: client.info("replication")["master_link_status"] == "up", PATIENCE_S, "it is in step")
        found = examine(replica.url)["replication"]
        assert (found.level, "refuses writes" in found.text) == (Level.PROBLEM, True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_slow_way_to_the_server_is_found(own: ServerProcess) -> None:
    with Proxy(own.socket) as proxy:
        proxy.delay_replies(0.03)
        assert examine(proxy.url)["latency"].level in (Level.WARNING, Level.PROBLEM)


@pytest.mark.parametrize(
    ("skew_s", "level"), [(0, Level.OK), (5, Level.WARNING), (-5, Level.WARNING), (-90, Level.PROBLEM)]
)
def test_a_wrong_clock_is_found(own: ServerProcess, skew_s: float, level: Level) -> None:
    assert examine(own.url, lambda: time.time() + skew_s)["clock"].level is level


def test_a_user_without_rights_is_told_what_it_lacks(own: ServerProcess) -> None:
    with own.client() as client:
        client.execute_command("ACL SETUSER weak on >secret ~* +@all -script|load -info -config")
    url = f"unix://weak:secret@{own.socket}"
    with pytest.raises(AccessDenied, match="script"):
        examine(url)
    with own.client() as client:
        client.execute_command("ACL SETUSER weak +script|load")
    found_again = examine(url)
    assert found_again["persistence"].level is Level.WARNING
    assert found_again["persistence"].advice == "give this user the right +info"
    assert found_again["scripts"].level is Level.OK


def test_paused_queues_old_jobs_and_missing_workers_are_found(own: ServerProcess) -> None:
    queue = QueueUnderTest(own.url, "default")
    try:
        assert examine(own.url)["oldest job"].text == "no job is waiting in line"
        queue.enqueue()
        assert examine(own.url)["oldest job"].level is Level.OK
        (member,) = queue.raw.zrange(queue.keys.ready, 0, -1)
        old = f"{(queue.server_ms() - 3_600_000) * 1000:013x}".encode() + member[13:]
        queue.raw.zrem(queue.keys.ready, member)
        queue.raw.zadd(queue.keys.ready, {old: 0})
        Queue(lambda: queue.store, queue.name).pause()
        found = examine(own.url)
        assert [found[name].level for name in ("workers", "queues", "oldest job")] == [Level.WARNING] * 3
        assert "3,600 s" in found["oldest job"].text
        queue.raw.hset(workers_key("default"), "w", worker(queue.server_ms(), ["other"]))
        assert "no worker works on default" in examine(own.url)["workers"].text
        queue.raw.hset(workers_key("default"), "w", worker(queue.server_ms(), ["default"]))
        assert examine(own.url)["workers"].level is Level.OK
        queue.raw.hset(workers_key("default"), "w", worker(queue.server_ms() - 60_000, ["default"]))
        assert examine(own.url)["workers"].text == "no worker is alive"
    finally:
        queue.close()


def worker(beat_ms: int, queues: list[str]) -> str:
    """What a worker says about itself."""
    return json.dumps(
        {
            **{"worker": "host:1", "processes": 1, "threads": 1, "queues": queues, "types": [], "pids": [1]},
            **{"starting": [], "executed": 0, "running": [], "quiet": False, "started_ms": beat_ms, "beat_ms": beat_ms},
            "forgotten_ms": 300_000,
        }
    )


def invoke(url: str, *options: str) -> Result:
    return CliRunner().invoke(command, ["doctor", "--url", url, *options], catch_exceptions=False)


def test_the_command_tells_by_its_exit_code(own: ServerProcess) -> None:
    assert invoke(own.url).exit_code == 0
    setting(own, "appendonly", "no")
    shown = invoke(own.url)
    assert shown.exit_code == 1
    assert "problem  persistence: neither AOF nor snapshots are on" in shown.output
    assert "-> set appendonly yes" in shown.output
    told = [json.loads(line) for line in invoke(own.url, "--json").output.splitlines()]
    assert {"name", "level", "text", "advice"} == set(told[0])
    assert [one["level"] for one in told if one["name"] == "persistence"] == ["problem"]


def test_the_password_is_not_shown(own: ServerProcess) -> None:
    with own.client() as client:
        client.execute_command("ACL SETUSER shown on >hidden-word ~* +@all")
    output = invoke(f"unix://shown:hidden-word@{own.socket}").output
    assert own.socket in output
    assert "hidden-word" not in output
