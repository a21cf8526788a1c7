"""Runs the server program: its options, its independence of the starter, its hold on `alive`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import BinaryIO

from fastjobs.errors import ConfigError
from fastjobs.server.embedded.files import ServerFiles
from fastjobs.server.embedded.locks import inheritable_lock

#: Seconds the program may take to read its options and go into the background.
DAEMONIZE_TIMEOUT = 10.0


def launch(binary: Path, files: ServerFiles) -> None:
    """Runs the server in the background; it holds `files.alive` for as long as it lives.

    Returns before the server listens, and also when the server refused its options or failed later: then `files.alive`
    is free and `files.log` says why. The caller holds `files.lock`.

    Args:
        binary: the server program.
        files: the files of the server; their directory exists.

    Raises:
        ConfigError: the program cannot be run or does not go into the background.
    """
    command = _command(binary, files)
    try:
        with inheritable_lock(files.alive) as alive, _open_log(files.log) as log:
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(alive,),
                start_new_session=True,  # Ctrl-C or a signal to our process group must not reach it
                umask=0o077,  # its files hold jobs, which nobody else may read
                timeout=DAEMONIZE_TIMEOUT,
                check=False,
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"cannot run {binary} as an embedded server: {error}") from error


def _open_log(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")


def _command(binary: Path, files: ServerFiles) -> list[str]:
    options = {
        # A child of this process would stay a zombie after its exit until it is reaped.
        "--daemonize": "yes",
        "--port": "0",
        "--unixsocket": str(files.place_socket()),
        "--unixsocketperm": "600",
        "--dir": str(files.directory),
        "--pidfile": str(files.pid),
        "--logfile": str(files.log),
        "--appendonly": "yes",
        "--appendfsync": "everysec",
        "--save": "",
        "--maxmemory-policy": "noeviction",
    }
    return [str(binary), *(word for option in options.items() for word in option)]
