"""Servers on ports, alone and as rigs of several that belong together: started together or not at all."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.harness.network import Host
from tests.harness.server import server_binary
from tests.harness.waiting import wait_until

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
        self.machine = host
        self.port = port or free_port()
        self.address = f"{self.host}:{self.port}"
        self._prefix = () if host is None else host.prefix
        self.directory = tempfile.mkdtemp(prefix="fjc-", dir="/tmp")
        self._binary = binary or server_binary()
        self._args = args
        self._process: subprocess.Popen[bytes] | None = None
        #: Frozen or cut off: what it says is out of date, if it says anything.
        self.apart = False

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

    def client(self, timeout_s: float = 10) -> redis.Redis:
        return redis.Redis(self.host, self.port, protocol=2, retry=Retry(NoBackoff(), 0), socket_timeout=timeout_s)

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

    @property
    def trusted(self) -> bool:
        """Whether it lives and is in touch with the others."""
        return self.alive and not self.apart

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self.apart = False

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        self.apart = True

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
        self.apart = False

    def cut_off(self, others: Sequence[TcpServer]) -> None:
        """Cuts it off from other servers, in both directions; its clients still reach it. Needs machines."""
        self.apart = True
        for mine, theirs in self._links(others):
            mine.drop_towards(theirs)
            theirs.drop_towards(mine)

    def join(self, others: Sequence[TcpServer]) -> None:
        """Ends `cut_off`."""
        for mine, theirs in self._links(others):
            mine.reach_again(theirs)
            theirs.reach_again(mine)
        self.apart = False

    def _links(self, others: Sequence[TcpServer]) -> list[tuple[Host, Host]]:
        assert self.machine is not None
        machines = {other.machine for other in others if other.machine is not None} - {self.machine}
        return [(self.machine, machine) for machine in machines]

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


class Rig(ABC):
    """Several servers under a test's control: none is left behind when one of them does not start."""

    @property
    @abstractmethod
    def processes(self) -> Sequence[TcpServer]:
        """All of them."""

    @abstractmethod
    def start(self) -> Self:
        """Starts them and waits until they serve together."""

    def close(self) -> None:
        for process in self.processes:
            process.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()
