"""A fresh server for each measurement, configured like the embedded one: unix socket, AOF, fsync every second."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import redis

from fastjobs.server.embedded.binary import find_binary
from fastjobs.store.keys import QueueKeys, queue_keys

#: Namespace and queue of all measurements.
NAMESPACE = "default"
QUEUE = "default"
_START_TIMEOUT_S = 20.0


def server_binary(choice: str) -> str:
    """Returns the path of a server program: `valkey` means the embedded one, `redis` the one on PATH; else a path.

    Raises:
        SystemExit: there is no such program.
    """
    if choice == "valkey":
        return str(find_binary())
    path = shutil.which("redis-server" if choice == "redis" else choice)
    if path is None:
        raise SystemExit(f"--server {choice}: no such program")
    return path


class BenchServer:
    """One server process in its own directory; a context manager.

    Args:
        binary: the server program.
    """

    def __init__(self, binary: str) -> None:
        self._binary = binary
        self._directory = tempfile.mkdtemp(prefix="fastjobs-bench-")
        self.socket = f"{self._directory}/s"
        self.url = f"unix://{self.socket}"
        self._process: subprocess.Popen[bytes] | None = None
        self.client = redis.Redis(unix_socket_path=self.socket, protocol=2)

    def __enter__(self) -> BenchServer:
        options = {
            "--port": "0",
            "--unixsocket": self.socket,
            "--dir": self._directory,
            "--appendonly": "yes",
            "--appendfsync": "everysec",
            "--save": "",
            # A rewrite of the log would disturb one measurement and not another.
            "--auto-aof-rewrite-percentage": "0",
        }
        command = [self._binary, *(word for option in options.items() for word in option)]
        with Path(self._directory, "log").open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(self._answers, _START_TIMEOUT_S, "the server answers")
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def keys(self) -> QueueKeys:
        """The keys of the measured queue."""
        return queue_keys(NAMESPACE, QUEUE)

    @property
    def queue(self) -> str:
        """The measured queue."""
        return QUEUE

    @property
    def environment(self) -> dict[str, str]:
        """The environment with which a worker finds this server."""
        return {"FASTJOBS_URL": self.url}

    def version(self) -> str:
        """Returns for example `valkey 9.1.2`."""
        info = self.client.info("server")
        name = info.get("server_name", "redis")
        return f"{name} {info[f'{name}_version']}"

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self._process is not None
        return self._process.pid

    def settle(self) -> None:
        """Waits until the log is on disk, so that no fsync of earlier writes disturbs a measurement."""
        wait_until(lambda: not self.client.info("persistence")["aof_pending_bio_fsync"], 60, "the log is on disk", 0.05)
        os.sync()

    def cpu_s(self) -> float:
        """Returns the processor time the server has used, in seconds."""
        info = self.client.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])

    def memory_bytes(self) -> int:
        """Returns the memory of the server's data, without the buffers of its clients and its log."""
        info = self.client.info("memory")
        return int(info["used_memory"]) - int(info["mem_clients_normal"]) - int(info["mem_aof_buffer"])

    def key_bytes(self, key: bytes) -> int:
        """Returns the memory of one key with all its elements."""
        return int(self.client.memory_usage(key, samples=0) or 0)

    def stat(self, field: str) -> int:
        """Returns one of the queue's exact counters."""
        return int(self.client.hget(self.keys.stats, field) or 0)

    def sessions(self) -> int:
        """Returns how many processes have opened a session."""
        return int(self.client.zcard(self.keys.sessions))

    def hold(self) -> None:
        """Keeps workers from taking jobs until `let_go`."""
        self.client.hset(self.keys.stats, "paused", 1)

    def let_go(self, processes: int) -> None:
        """Lets workers take jobs, and wakes that many processes."""
        pipeline = self.client.pipeline()
        pipeline.hdel(self.keys.stats, "paused")
        pipeline.lpush(self.keys.wake, *[""] * processes)
        pipeline.execute()

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.exceptions.RedisError:
            return False


def wait_until(condition: object, timeout_s: float, what: str, every_s: float = 0.005) -> None:
    """Polls a callable until it returns a true value.

    Raises:
        TimeoutError: it returned none within `timeout_s` seconds.
    """
    assert callable(condition)
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s in vain until {what}")
        time.sleep(every_s)
