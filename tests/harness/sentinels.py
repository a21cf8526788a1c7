"""A master, two replicas and three Sentinels under a test's control, on loopback or on machines of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import redis

from tests.harness.network import Host
from tests.harness.tcp_server import PATIENCE_S, Rig, TcpServer, free_port
from tests.harness.waiting import wait_until

SERVICE = "jobs"
#: How long a master may be silent until a Sentinel takes it for dead, unless told otherwise. They ask once a second.
DOWN_AFTER_MS = 1000


class _Sentinel(TcpServer):
    """One Sentinel."""

    def __init__(self, master: TcpServer, host: Host | None, down_after_ms: int) -> None:
        super().__init__(host=host)
        self._master = master
        self._down_after_ms = down_after_ms

    def options(self) -> list[str]:
        path = Path(self.directory, "sentinel.conf")
        # Sentinels write what they learn into it: who is the master now, and how often that has changed.
        if path.exists():
            return [str(path), "--sentinel"]
        lines = [
            f"port {self.port}",
            f"dir {self.directory}",
            "protected-mode no",
            f"sentinel monitor {SERVICE} {self._master.host} {self._master.port} 2",
            f"sentinel down-after-milliseconds {SERVICE} {self._down_after_ms}",
            f"sentinel failover-timeout {SERVICE} 3000",
        ]
        path.write_text("\n".join(lines) + "\n")
        return [str(path), "--sentinel"]


class Sentinels(Rig):
    """Three servers and three Sentinels.

    Args:
        hosts: where they run, server i and Sentinel i on machine i; empty = all on loopback.
        down_after_ms: how long a master may be silent until a Sentinel takes it for dead.
    """

    def __init__(self, hosts: Sequence[Host] = (), down_after_ms: int = DOWN_AFTER_MS) -> None:
        places = list(hosts) or [None] * 3
        self.servers = [TcpServer("--repl-timeout", "5", host=host, port=free_port()) for host in places]
        self.sentinels = [_Sentinel(self.servers[0], host, down_after_ms) for host in places]

    @property
    def processes(self) -> Sequence[TcpServer]:
        return [*self.sentinels, *self.servers]

    @property
    def url(self) -> str:
        hosts = ",".join(sentinel.address for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}/0"

    def client(self) -> redis.Redis:
        return self.master().client()

    def start(self) -> Self:
        for server in self.servers:
            server.start()
        for server in self.servers[1:]:
            server.call("REPLICAOF", self.servers[0].host, self.servers[0].port)
        wait_until(self._replicas_up, PATIENCE_S, "the replicas follow")
        for sentinel in self.sentinels:
            sentinel.start()
        wait_until(lambda: all(map(_knows_all, self.sentinels)), PATIENCE_S, "the Sentinels know each other")
        return self

    def _replicas_up(self) -> bool:
        return all(server.info("replication").get("master_link_status") == "up" for server in self.servers[1:])

    def master(self) -> TcpServer:
        """The master, as a Sentinel sees it that is in touch with the others."""
        return self._master_of(next(sentinel for sentinel in reversed(self.sentinels) if sentinel.trusted))

    def _master_of(self, sentinel: TcpServer) -> TcpServer:
        host, port = sentinel.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        text = host.decode() if isinstance(host, bytes) else host
        return next(server for server in self.servers if (server.host, server.port) == (text, int(port)))

    def settled(self) -> bool:
        """Whether the Sentinels agree on a master, and the two others follow it."""
        if not all(process.trusted for process in self.processes):
            return False
        try:
            agreed = {self._master_of(sentinel).address for sentinel in self.sentinels}
            master = self.master().info("replication")
            others = [server.info("replication") for server in self.servers if server is not self.master()]
            known = all(map(_knows_all, self.sentinels))
        except redis.exceptions.RedisError:
            return False
        follow = all(
            other["role"] == "slave"
            and other["master_link_status"] == "up"
            and f"{other['master_host']}:{other['master_port']}" in agreed
            for other in others
        )
        return len(agreed) == 1 and known and follow and master["role"] == "master" and master["connected_slaves"] == 2

    def fails_over_coordinated(self) -> bool:
        """Whether its Sentinels can let a master hand over without losing anything."""
        return any(b"COORDINATED" in line for line in self.sentinels[0].call("SENTINEL", "HELP"))

    def wait_for_another(self, former: TcpServer) -> TcpServer:
        """Waits until another server is the master, and says so."""
        wait_until(
            lambda: self.master() is not former and self.master().info("replication")["role"] == "master",
            PATIENCE_S,
            "another server is promoted",
        )
        return self.master()

    def wait_demoted(self, former: TcpServer) -> None:
        """Waits until a former master follows the present one."""

        def demoted() -> bool:
            try:
                return bool(former.info("replication")["role"] == "slave")
            except redis.exceptions.ConnectionError:
                # Sentinel closes all connections to a server that it demotes, also this one.
                return False

        wait_until(demoted, PATIENCE_S, "the old master is demoted")


def _knows_all(sentinel: TcpServer) -> bool:
    words = sentinel.call("SENTINEL", "MASTER", SERVICE)
    found = dict(zip(words[::2], words[1::2], strict=True)) if isinstance(words, list) else words
    known = {(name.decode() if isinstance(name, bytes) else name): value for name, value in found.items()}
    return int(known["num-other-sentinels"]) == 2 and int(known["num-slaves"]) == 2
