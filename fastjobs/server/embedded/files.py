"""Where an embedded server keeps its files, and that nobody but its user can reach them."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from fastjobs.errors import ConfigError

#: Files that mark the top of a project.
PROJECT_MARKERS = ("pyproject.toml", "setup.py", ".git")

#: Bytes a unix socket path may have on Linux: `sun_path` holds 108 with its closing zero.
SOCKET_PATH_MAX = 107


def project_directory(start: Path | None = None) -> Path:
    """Find the directory whose processes share one embedded server.

    Args:
        start: where to look from; default the current directory.

    Returns:
        FASTJOBS_DIR when set; else the nearest directory at or above `start` that holds
        `pyproject.toml`, `setup.py` or `.git`; else `start` itself.
    """
    chosen = os.environ.get("FASTJOBS_DIR")
    if chosen:
        return Path(chosen).resolve()
    here = (start or Path.cwd()).resolve()
    for directory in (here, *here.parents):
        if any((directory / marker).exists() for marker in PROJECT_MARKERS):
            return directory
    return here


@dataclass(frozen=True)
class ServerFiles:
    """The files of one embedded server.

    Attributes:
        directory: holds them all, except a socket whose path would be too long.
    """

    directory: Path

    @classmethod
    def of(cls, project_dir: Path | None) -> ServerFiles:
        """Name the files of a project's server; default `project_directory()`."""
        project = project_directory() if project_dir is None else project_dir.resolve()
        return cls(project / ".fastjobs")

    @property
    def lock(self) -> Path:
        """Held while somebody checks for a server and starts or stops it."""
        return self.directory / "lock"

    @property
    def alive(self) -> Path:
        """Held by the server for as long as it lives."""
        return self.directory / "alive"

    @property
    def log(self) -> Path:
        """What the server has to say."""
        return self.directory / "server.log"

    @property
    def pid(self) -> Path:
        """The server's process id, for people; fastjobs asks the server itself."""
        return self.directory / "server.pid"

    @property
    def near_socket(self) -> Path:
        """The socket, or a link to it where this path is too long to listen on."""
        return self.directory / "server.sock"

    @property
    def socket(self) -> Path:
        """Where the server listens."""
        if self.near_socket.is_symlink():
            return self.near_socket.readlink()
        return self.near_socket

    def create(self) -> None:
        """Make the directory, private and ignored by git.

        Raises:
            ConfigError: it cannot be made or belongs to somebody else.
        """
        _make_private(self.directory)
        gitignore = self.directory / ".gitignore"
        if not gitignore.exists():
            gitignore.write_text("*\n")

    def exist(self) -> bool:
        """Tell whether a server was ever started here.

        Raises:
            ConfigError: the directory belongs to somebody else.
        """
        if not self.directory.is_dir():
            return False
        _make_private(self.directory)
        return True

    def place_socket(self) -> Path:
        """Choose the path for a new server to listen on, and leave a link to it when it is far.

        The link makes processes agree: their XDG_RUNTIME_DIR may differ from the starter's.

        Raises:
            ConfigError: the far directory cannot be made or belongs to somebody else.
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
    """Name a short socket path for a directory whose own path is too long."""
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
    """Create a directory only this user can enter, or refuse one that somebody else made.

    Whoever owns it could put a socket of their own there and hand us their jobs.
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
