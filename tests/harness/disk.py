"""A disk of a few megabytes that a test may fill: a tmpfs of its own, for which it has to be root."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest


class SmallDisk:
    """A mounted directory with room for `mebibytes`; the test is skipped where mounting is not allowed."""

    def __init__(self, mebibytes: int) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="fjd-", dir="/tmp"))
        self._ballast = self.path / "ballast"
        command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(self.path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(self.path)
            pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")

    def fill(self) -> None:
        """Leaves no room for a single byte more."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (1 << 16, 1 << 12, 1):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError:
                    continue

    def make_room(self) -> None:
        self._ballast.unlink()

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self.path)], check=True)
        self.path.rmdir()

    def __enter__(self) -> SmallDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
