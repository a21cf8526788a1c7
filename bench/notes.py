"""Notes of handlers about their runs, in a file that the measuring process and the workers map."""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path
from typing import NamedTuple

#: The environment variable that names the file to the workers.
VARIABLE = "FASTJOBS_TEST_BENCH_NOTES"
_NOTE = struct.Struct("<qqq")


class Note(NamedTuple):
    """One run of one job; times are nanoseconds of the machine-wide monotonic clock."""

    started_ns: int
    ended_ns: int
    pid: int


class Notes:
    """One note per job.

    Args:
        path: the file, made with `create`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    @staticmethod
    def create(path: Path, jobs: int) -> Notes:
        """Makes a file with room for `jobs` notes, all empty."""
        path.write_bytes(bytes(jobs * _NOTE.size))
        return Notes(path)

    def write(self, index: int, started_ns: int) -> None:
        """Notes a run of this process that ends now."""
        _NOTE.pack_into(self._map, index * _NOTE.size, started_ns, time.monotonic_ns(), os.getpid())

    def read(self) -> list[Note]:
        """Returns all notes; a note that is not written has the start 0."""
        return [Note(*fields) for fields in _NOTE.iter_unpack(self._map[:])]

    def complete(self) -> bool:
        """Whether every note is written."""
        return all(note.started_ns for note in self.read())

    def delays_ms(self, begun_ns: list[int]) -> list[float]:
        """Returns for each note how long after an instant its run started, in milliseconds."""
        return [(note.started_ns - begun) / 1e6 for note, begun in zip(self.read(), begun_ns, strict=True)]
