"""Servers that belong together under a test's control: a cluster of masters and replicas, or Sentinels with theirs."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry

from tests.harness.network import Host
from tests.harness.server import server_binary
from tests.harness.waiting import wait_until

#: How long a node may be silent until the others take it for dead.
NODE_TIMEOUT_MS = 1500
SLOTS = 16384
PATIENCE_S = 30.0


def free_port() -> int:
    """A port that is free, with the one 10000 above it, which a cluster's bus takes."""
    for _ in range(100):
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            if port > 55_000:
                continue
            with suppress(OSError):
                other.bind(("127.0.0.1", port + 10_000))
                return port
    raise AssertionError("no free port")


class TcpServer:
    """One server on a port, of loopback or of a machine of its own.

    Args:
        args: further options.
        binary: which program; None = the one under test.
        port: which port; None = a free one.
        host: the machine; None = this one, on loopback.
    """

    def __init__(
        self, *args: str, binary: str | None = None, port: int | None = None, host: Host | None = None
    ) -> None:
        self.host = "127.0.0.1" if host is None else host.address
        self.port = port or free_port()
        self.address = f"{self.host}:{self.port}"
        self._prefix = () if host is None else host.prefix
        self.directory = tempfile.mkdtemp(prefix="fjc-", dir="/tmp")
        self._binary = binary or server_binary()
        self._args = args
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> TcpServer:
        self.spawn()
        wait_until(self.answers, PATIENCE_S, f"the server on {self.port} answers")
        return self

    def spawn(self) -> None:
        command = [*self._prefix, self._binary, *self.options(), *self._args]
        with Path(self.directory, "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def options(self) -> list[str]:
        port = ["--port", str(self.port), "--bind", self.host, "--protected-mode", "no", "--dir", self.directory]
        return [*port, "--appendonly", "yes", "--save", "", "--repl-diskless-sync-delay", "0"]

    def client(self) -> redis.Redis:
        return redis.Redis(self.host, self.port, protocol=2, retry=Retry(NoBackoff(), 0), socket_timeout=10)

    def call(self, *words: Any) -> Any:
        """One command, over a connection of its own."""
        with self.client() as client:
            return client.execute_command(*words)

    def answers(self) -> bool:
        try:
            return bool(self.call("PING"))
        except redis.exceptions.RedisError:
            return False

    def info(self, section: str) -> dict[str, Any]:
        with self.client() as client:
            return dict(client.info(section))

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


class LocalCluster:
    """Masters, and replicas of them, on loopback."""

    def __init__(self, masters: int = 3, replicas: int = 3, *args: str, binary: str | None = None) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS))
        options += ("--cluster-replica-validity-factor", "0", *args)
        self.nodes = [TcpServer(*options, binary=binary) for _ in range(masters + replicas)]
        self._masters = masters
        self.ids: dict[str, TcpServer] = {}

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(node.address for node in self.nodes)

    def client(self) -> redis.Redis:
        """A connection to one of the nodes."""
        return self.nodes[0].client()

    def start(self) -> LocalCluster:
        for node in self.nodes:
            node.spawn()
        for node in self.nodes:
            wait_until(node.answers, PATIENCE_S, "all nodes answer")
        masters, replicas = self.nodes[: self._masters], self.nodes[self._masters :]
        for number, node in enumerate(self.nodes):
            node.call("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            self.ids[str(node.call("CLUSTER", "MYID"), "ascii")] = node
        for number, node in enumerate(masters):
            first, last = SLOTS * number // len(masters), SLOTS * (number + 1) // len(masters) - 1
            node.call("CLUSTER", "ADDSLOTSRANGE", first, last)
        for node in self.nodes[1:]:
            node.call("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        wait_until(lambda: all(self._knows(node) for node in self.nodes), PATIENCE_S, "all nodes know each other")
        for number, node in enumerate(replicas):
            master = masters[number % len(masters)]
            wait_until(lambda node=node, master=master: self._follow(node, master), PATIENCE_S, "a replica follows")
        self.wait_ok()
        wait_until(
            lambda: all(node.info("replication")["master_link_status"] == "up" for node in replicas), 30, "synced"
        )
        return self

    def _knows(self, node: TcpServer) -> bool:
        return int(cluster_info(node)["cluster_known_nodes"]) == len(self.nodes)

    def _follow(self, node: TcpServer, master: TcpServer) -> bool:
        try:
            node.call("CLUSTER", "REPLICATE", self.id_of(master))
        except redis.exceptions.ResponseError:
            return False
        return True

    def id_of(self, node: TcpServer) -> str:
        return next(name for name, known in self.ids.items() if known is node)

    def wait_ok(self) -> None:
        living = [node for node in self.nodes if node.alive]
        wait_until(
            lambda: all(cluster_info(node)["cluster_state"] == "ok" for node in living),
            PATIENCE_S,
            "the cluster is ok",
        )

    def owner(self, key: str | bytes) -> TcpServer:
        """The master of a key's slot, as the majority of the living nodes sees it."""
        return self.owner_of_slot(key_slot(key.encode() if isinstance(key, str) else key))

    def owner_of_slot(self, slot: int) -> TcpServer:
        found = self.living_owner(slot)
        assert found is not None, f"slot {slot} has no owner that lives"
        return found

    def living_owner(self, slot: int) -> TcpServer | None:
        """The master of a slot, as one of the living nodes sees it; None when it is dead."""
        for node in self.nodes:
            if not node.alive:
                continue
            for first, last, (_, port, *_), *_ in _raw_slots(node):
                if first <= slot <= last:
                    found = next(other for other in self.nodes if other.port == port)
                    if found.alive:
                        return found
        return None

    def masters(self) -> list[TcpServer]:
        return [node for node in self.nodes if node.alive and node.info("replication")["role"] == "master"]

    def replica_of(self, master: TcpServer) -> TcpServer:
        for node in self.nodes:
            if node.alive and node.info("replication").get("master_port") == master.port:
                return node
        raise AssertionError("no replica")

    def begin_moving(self, slot: int, target: TcpServer) -> TcpServer:
        """From now on the owner sends for keys it does not have to the target; returns the owner."""
        source = self.owner_of_slot(slot)
        target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
        source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(target))
        return source

    def move_keys(
        self, slot: int, source: TcpServer, target: TcpServer, step: Callable[[], None] = lambda: None
    ) -> int:
        """Moves the keys of a slot one by one; returns how many."""
        moved = 0
        while keys := source.call("CLUSTER", "GETKEYSINSLOT", slot, 1):
            source.call("MIGRATE", "127.0.0.1", target.port, keys[0], 0, 5000)
            moved += 1
            step()
        return moved

    def end_moving(self, slot: int, target: TcpServer) -> None:
        for node in [target, *(node for node in self.masters() if node is not target)]:
            node.call("CLUSTER", "SETSLOT", slot, "NODE", self.id_of(target))

    def move_slot(self, slot: int, target: TcpServer, step: Callable[[], None] = lambda: None) -> None:
        """Moves a slot with all its keys."""
        source = self.begin_moving(slot, target)
        if source is not target:
            self.move_keys(slot, source, target, step)
            self.end_moving(slot, target)

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    def __enter__(self) -> LocalCluster:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()


def cluster_info(node: TcpServer) -> dict[str, str]:
    """What a node says about its cluster."""
    return dict(line.split(":", 1) for line in node.call("CLUSTER", "INFO").decode().splitlines() if ":" in line)


def _raw_slots(node: TcpServer) -> list[Any]:
    # Two words: redis-py would give those of "CLUSTER SLOTS" another shape.
    return list(node.call("CLUSTER", "SLOTS"))


def brief_pause() -> None:
    """Between the steps of something that goes on beside the load."""
    time.sleep(0.01)
