"""The life of the embedded server: started once, found by everybody else, stopped cleanly."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from fastjobs.errors import ConfigError, StoreError, Unavailable
from fastjobs.logs import event
from fastjobs.server.embedded.binary import find_binary
from fastjobs.server.embedded.daemon import launch
from fastjobs.server.embedded.files import ServerFiles
from fastjobs.server.embedded.locks import is_held, locked

logger = logging.getLogger("fastjobs.embedded")

#: Seconds a server may take to answer its first PING.
START_TIMEOUT = 10.0

#: Seconds it may take instead once it reports that it is loading its data.
LOADING_TIMEOUT = 60.0

#: Seconds one command may take; a server that is busy this long counts as not answering.
REPLY_TIMEOUT = 2.0

#: Seconds between two looks at a server that is starting or stopping.
POLL_INTERVAL = 0.01

#: Lines of the server's log that an error quotes.
LOG_EXCERPT_LINES = 10


@dataclass(frozen=True)
class ServerInfo:
    """A running embedded server.

    Attributes:
        url: its URL: `unix://` and the percent-encoded socket path.
        socket: path of the unix socket; only the user who started the server may connect.
        pid: process id of the server.
        version: product and version, for example `valkey 9.1.2` or `redis 7.0.15`.
        directory: holds its data, log and locks.
        started: whether this call started it; False when it was already running.
    """

    url: str
    socket: Path
    pid: int
    version: str
    directory: Path
    started: bool


def start(project_dir: Path | None = None) -> ServerInfo:
    """Starts the project's server, or finds the running one; all processes share it.

    The server outlives the process that started it, and Ctrl-C in its terminal. After a crash or a kill the next start
    finds the same data.

    Args:
        project_dir: directory of the project; default: `project_directory()`.

    Returns:
        The server, ready for commands.

    Raises:
        ConfigError: FASTJOBS_EMBEDDED=0, no server program, or no usable directory.
        StoreError: the server exited while starting; the message ends with the end of its log.
        Unavailable: the server runs but does not answer, or is still loading its data.
    """
    _refuse_if_disabled()
    files = ServerFiles.of(project_dir)
    files.create()
    while True:
        log_start = _size(files.log)
        started = _launch_unless_alive(files)
        info = _await_ready(files)
        if info is not None:
            break
        if started:
            excerpt = _excerpt(files.log, log_start)
            raise StoreError(f"the embedded server exited while starting; {files.log}:\n{excerpt}")
        # The server that was there before has just gone, so this process starts one.
    server = _describe(files, info, started=started)
    if started:
        _announce(server)
    return server


def stop(project_dir: Path | None = None, timeout: float = 10.0) -> bool:
    """Stops the project's server cleanly: its data is fsynced before it exits.

    Args:
        project_dir: directory of the project; default: `project_directory()`.
        timeout: seconds to wait for its exit; default: 10.

    Returns:
        True when the server has exited, False when none was running.

    Raises:
        ConfigError: the directory belongs to another user.
        StoreError: the server refused to stop or was still running after `timeout`.
    """
    files = ServerFiles.of(project_dir)
    if not files.exist():
        return False
    with locked(files.lock):
        if not is_held(files.alive):
            return False
        _shut_down(files, timeout)
        return True


def status(project_dir: Path | None = None) -> ServerInfo | None:
    """Looks for the project's server without starting one.

    Args:
        project_dir: directory of the project; default: `project_directory()`.

    Returns:
        The running server, or None when there is none.

    Raises:
        ConfigError: the directory belongs to another user.
        Unavailable: a server runs but does not answer, or is still loading its data.
    """
    files = ServerFiles.of(project_dir)
    if not files.exist() or not is_held(files.alive):
        return None
    try:
        return _describe(files, _ask(files.socket), started=False)
    except redis.RedisError as error:
        if not is_held(files.alive):
            return None
        raise _unavailable(files, error) from error


def _refuse_if_disabled() -> None:
    if os.environ.get("FASTJOBS_EMBEDDED", "").lower() in {"0", "false", "no", "off"}:
        raise ConfigError(
            "no server URL is set and FASTJOBS_EMBEDDED=0 forbids the embedded server: set "
            "FASTJOBS_URL (for example redis://localhost:6379/0) or call FastJobs with a URL"
        )


def _launch_unless_alive(files: ServerFiles) -> bool:
    with locked(files.lock):
        if is_held(files.alive):
            return False
        launch(find_binary(), files)
        return True


def _await_ready(files: ServerFiles) -> Mapping[str, Any] | None:
    """Waits until the server is ready for commands.

    Returns:
        Its reply to INFO, or None when it is gone.

    Raises:
        Unavailable: the server runs but is not ready in time.
    """
    began = time.monotonic()
    patience = START_TIMEOUT
    while True:
        try:
            return _ask(files.socket)
        except redis.RedisError as error:
            if not is_held(files.alive):
                return None
            if isinstance(error, redis.BusyLoadingError):
                patience = LOADING_TIMEOUT
            if time.monotonic() - began > patience:
                raise _unavailable(files, error) from error
        time.sleep(POLL_INTERVAL)


def _shut_down(files: ServerFiles, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while is_held(files.alive):
        if time.monotonic() > deadline:
            directory = files.directory
            raise StoreError(f"the server in {directory} did not stop within {timeout:g} s")
        # Sent again each round: a server that is still starting may not listen yet.
        _request_shutdown(files.socket)
        time.sleep(POLL_INTERVAL)


def _request_shutdown(socket: Path) -> None:
    try:
        with _client(socket) as client:
            # NOSAVE is about snapshots, which are not used: the append-only file is fsynced all the same, and even a
            # server that is busy with a script obeys.
            client.shutdown(nosave=True)
    except redis.TimeoutError:
        return  # The server is busy or suspended; it finds the command when it goes on.
    except redis.RedisError as error:
        raise StoreError(f"the embedded server at {socket} refused to stop: {error}") from error


def _ask(socket: Path) -> Mapping[str, Any]:
    with _client(socket) as client:
        client.ping()
        info: Mapping[str, Any] = client.info("server")
        return info


def _client(socket: Path) -> redis.Redis:
    return redis.Redis(
        unix_socket_path=str(socket),
        socket_timeout=REPLY_TIMEOUT,
        socket_connect_timeout=REPLY_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    )


def _describe(files: ServerFiles, info: Mapping[str, Any], *, started: bool) -> ServerInfo:
    product = info.get("server_name", "redis")  # Redis itself gives no name
    return ServerInfo(
        url=f"unix://{quote(str(files.socket))}",
        socket=files.socket,
        pid=info["process_id"],
        version=f"{product} {info[f'{product}_version']}",
        directory=files.directory,
        started=started,
    )


def _announce(server: ServerInfo) -> None:
    event(
        logger,
        logging.INFO,
        "embedded server started",
        version=server.version,
        socket=server.socket,
        directory=server.directory,
    )


def _unavailable(files: ServerFiles, error: redis.RedisError) -> Unavailable:
    return Unavailable(f"the embedded server in {files.directory} runs but is not ready ({error}); see {files.log}")


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def _excerpt(log: Path, start: int) -> str:
    """Returns the last lines that were written after byte `start`."""
    with log.open("rb") as lines:
        lines.seek(start)
        written = lines.read().decode(errors="replace")
    return "\n".join(written.splitlines()[-LOG_EXCERPT_LINES:])
