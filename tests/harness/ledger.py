"""What jobs did, written outside the server: one short append per event, which survives any kill."""

from __future__ import annotations

import os
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

#: Tells handlers where the ledger is.
LEDGER_VARIABLE = "FASTJOBS_TEST_LEDGER"
#: Numbers of jobs, in a file of their own.
_NUMBER = struct.Struct("<I")


@dataclass(frozen=True)
class Entry:
    """One event."""

    what: str
    key: str
    pid: int


class Ledger:
    """A file of events, `START` and `END` with the job's key, in the order in which they happened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._numbers = path.with_suffix(".numbers")

    def _append(self, path: Path, data: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)

    def write(self, what: str, key: str | int) -> None:
        self._append(self.path, f"{what} {key} {os.getpid()}\n".encode())

    def write_number(self, value: int) -> None:
        """Writes that a numbered job ran; four bytes, so that a million of them are no burden."""
        descriptor = _NUMBER_FILES.get(self._numbers)
        if descriptor is None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            descriptor = _NUMBER_FILES.setdefault(self._numbers, os.open(self._numbers, flags, 0o600))
        os.write(descriptor, _NUMBER.pack(value))

    def entries(self) -> list[Entry]:
        try:
            lines = self.path.read_text().splitlines()
        except FileNotFoundError:
            return []
        parts = [line.split() for line in lines]
        return [Entry(what, key, int(pid)) for what, key, pid in parts]

    def count(self, what: str, key: str | int) -> int:
        return sum(entry.what == what and entry.key == str(key) for entry in self.entries())

    def counts(self, what: str) -> Counter[str]:
        return Counter(entry.key for entry in self.entries() if entry.what == what)

    def keys(self, what: str) -> list[str]:
        return [entry.key for entry in self.entries() if entry.what == what]

    def number_counts(self) -> Counter[int]:
        if not self._numbers.exists():
            return Counter()
        return Counter(value for (value,) in _NUMBER.iter_unpack(self._numbers.read_bytes()))


#: Open files of this process.
_NUMBER_FILES: dict[Path, int] = {}
