"""Runs the installed commands and programs as a user would, without the tester's own settings."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

from tests.harness.server import server_binary

SCRIPTS = Path(sysconfig.get_path("scripts"))


def clean_environment(**changes: str) -> dict[str, str]:
    """This process's environment without settings of fastjobs; an embedded server is the one under test."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("FASTJOBS_") and name not in {"REDIS_URL", "VALKEY_URL"}
    }
    return {**kept, "FASTJOBS_SERVER_BIN": server_binary(), "PYTHONDONTWRITEBYTECODE": "1", **changes}


def run(*command: str | Path, cwd: Path, timeout_s: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end, whatever that is."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=clean_environment(**environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
