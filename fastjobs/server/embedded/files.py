"""The files of an embedded server, in a directory that only its user can enter."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from fastjobs.errors import ConfigError

#: Files that mark the top of a project.
PROJECT_MARKERS = ("pyproject.toml", "setup.py", ".git")

#: Most bytes of a unix socket path on Linux: `sun_path` holds 108 with its closing zero.
SOCKET_PATH_MAX = 107


def project_directory(start: Path | None = None) -> Path:
    """Finds the directory whose processes share one embedded server.

    Args:
        start: where to begin; default: the current directory.

    Returns:
        FASTJOBS_DIR if it is set; else the nearest directory, `start` or above, with `pyproject.toml`, `setup.py` or
        `.git`; else `start` itself.
    """
    here = (start or Path.cwd()).resolve()
    chosen = os.environ.get("FASTJOBS_DIR")
    if chosen:
        return (here / chosen).resolve()
    for directory in (here, *here.parents):
        if any((directory / marker).exists() for marker in PROJECT_MARKERS):
            return directory
    return here


@dataclass(frozen=True)
class ServerFiles:
    """The files of one embedded server.

    Attributes:
        directory: holds all of them, except a socket whose path would be too long.
    """

    directory: Path

    @classmethod
    def of(cls, project_dir: Path | None) -> ServerFiles:
        """Returns the files of a project's server; None = of `project_directory()`."""
        project = project_directory() if project_dir is None else project_dir.resolve()
        return cls(project / ".fastjobs")

    @property
    def lock(self) -> Path:
        """The lock of a process that checks for a server, and starts or stops it."""
        return self.directory / "lock"

    @property
    def alive(self) -> Path:
        """The lock that the server holds for as long as it lives."""
        return self.directory / "alive"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.directory / "server.log"

    @property
    def pid(self) -> Path:
        """The file with the server's process id, for people; fastjobs asks the server itself."""
        return self.directory / "server.pid"

    @property
    def near_socket(self) -> Path:
        """The socket, or a link to it if this path is too long to listen on."""
        return self.directory / "server.sock"

    @property
    def socket(self) -> Path:
        """The socket on which the server listens."""
        if self.near_socket.is_symlink():
            return self.near_socket.readlink()
        return self.near_socket

    def create(self) -> None:
        """Makes the directory, private and ignored by git.

        Raises:
            ConfigError: the directory cannot be made, or belongs to another user.
        """
        _make_private(self.directory)
        gitignore = self.directory / ".gitignore"
        if not gitignore.exists():
            gitignore.write_text("*\n")

    def exist(self) -> bool:
        """Whether a server has ever been started here.

        Raises:
            ConfigError: the directory belongs to another user.
        """
        if not self.directory.is_dir():
            return False
        _make_private(self.directory)
        return True

    def place_socket(self) -> Path:
        """Chooses the path on which a new server listens, and leaves a link to it if it is in another directory.

        The link makes all processes use the same path: their XDG_RUNTIME_DIR may differ from that of the starter.

        Raises:
            ConfigError: the other directory cannot be made, or belongs to another user.
        """
        self.near_socket.unlink(missing_ok=True)
        if _fits(self.near_socket):
            return self.near_socket
        far = _far_socket(self.directory)
        self.near_socket.symlink_to(far)
        return far


def _fits(socket: Path) -> bool:
    return len(os.fsencode(socket)) <= SOCKET_PATH_MAX


def _far_socket(directory: Path) -> Path:
    """Returns a short socket path for a directory whose own path is too long."""
    name = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16] + ".sock"
    home = Path(f"/tmp/fastjobs-{os.geteuid()}")  # noqa: S108 - its owner is checked below
    runtime = _runtime_directory()
    if runtime is not None and _fits(runtime / "fastjobs" / name):
        home = runtime / "fastjobs"
    _make_private(home)
    return home / name


def _runtime_directory() -> Path | None:
    named = os.environ.get("XDG_RUNTIME_DIR")
    if not named or not Path(named).is_dir():
        return None
    # After sudo or su the variable may still name the directory of another user.
    return Path(named) if Path(named).stat().st_uid == os.geteuid() else None


def _make_private(directory: Path) -> None:
    """Creates a directory that only this user can enter, or refuses one that somebody else made.

    Its owner could put another socket there, and pass forged jobs to us.
    """
    advice = "set FASTJOBS_DIR to a directory of your own, or FASTJOBS_URL to a running server"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.lstat()
    except OSError as error:
        reason = error.strerror
        raise ConfigError(f"cannot keep a server in {directory}: {reason}; {advice}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise ConfigError(f"{directory} is not a directory that belongs to this user; {advice}")
    directory.chmod(0o700)
