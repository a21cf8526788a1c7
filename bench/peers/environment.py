"""Creates the virtual environment of each peer, from the versions that its requirements pin, or finds it."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from bench.worker import ROOT

_ENVIRONMENTS = ROOT / ".venv-peers"
_REQUIREMENTS = Path(__file__).with_name("requirements")


def interpreter(peer: str) -> str:
    """Returns the interpreter that has the peer; creates its environment if there is none for these requirements.

    Raises:
        subprocess.CalledProcessError: a package cannot be installed.
    """
    if peer == "fastjobs":
        return sys.executable
    requirements = _REQUIREMENTS / f"{peer}.txt"
    directory = _ENVIRONMENTS / peer
    python, installed = directory / "bin/python", directory / "installed.txt"
    if not installed.exists() or installed.read_text() != requirements.read_text():
        print(f"installing {peer}", file=sys.stderr, flush=True)
        venv.create(directory, clear=True, with_pip=True)
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements]
        subprocess.run(command, check=True, capture_output=True, text=True)
        # Written last: an interrupted installation is repeated.
        installed.write_text(requirements.read_text())
    return str(python)
