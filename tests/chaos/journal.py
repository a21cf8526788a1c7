"""The journal: what producers asked for and what handlers did, written outside the server, one append per event."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Tells handlers where the journal is.
JOURNAL_VARIABLE = "CHAOS_JOURNAL"


@dataclass(slots=True)
class Run:
    """One run of a job's handler; times are of the machine's monotonic clock, in nanoseconds."""

    key: int
    attempt: int
    pid: int
    start_ns: int
    #: When it returned or raised; None when it never did.
    end_ns: int | None = None
    raised: bool = False

    @property
    def returned(self) -> bool:
        return self.end_ns is not None and not self.raised


@dataclass
class Call:
    """One call of a producer, for jobs with the keys first .. first+n-1."""

    first: int
    n: int
    #: What its jobs do: the name of a handler.
    kind: str
    queue: str
    delay_s: float
    began_ns: int
    ended_ns: int = 0
    #: Jobs that are certainly stored, and that may be; the others certainly are not.
    stored: int = 0
    unknown: int = 0
    #: Runs that raise on purpose before one returns.
    fails: int = 0
    #: How safe it had to be before the call returned.
    durability: str = "fire"
    #: Where its jobs are; "" = not told, as for several jobs.
    partition: str = ""

    @property
    def keys(self) -> range:
        return range(self.first, self.first + self.n)


@dataclass
class History:
    """What a journal tells of the runs: by key, in the order in which they started."""

    runs: dict[int, list[Run]] = field(default_factory=lambda: defaultdict(list))
    #: Process -> its supervisor.
    supervisors: dict[int, int] = field(default_factory=dict)


class Journal:
    """A file of events. The descriptor stays open: a run costs two writes and no more."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, what: str, *values: Any) -> None:
        """Appends one event with the time; a single short write is not torn, whatever happens to the process."""
        os.write(self._descriptor, " ".join(map(str, (what, *values, time.monotonic_ns()))).encode() + b"\n")

    def lines(self) -> Iterator[list[str]]:
        with self.path.open() as file:
            for line in file:
                yield line.split()

    def read(self) -> History:
        """Reads what processes wrote."""
        history = History()
        running: dict[tuple[int, int, int], Run] = {}
        for what, *values in self.lines():
            if what == "process":
                pid, supervisor, _ = map(int, values)
                history.supervisors[pid] = supervisor
            elif what == "start":
                key, attempt, pid, at_ns = map(int, values)
                run = running[key, attempt, pid] = Run(key, attempt, pid, at_ns)
                history.runs[key].append(run)
            elif what in ("end", "raise"):
                key, attempt, pid, at_ns = map(int, values)
                run = running[key, attempt, pid]
                run.end_ns, run.raised = at_ns, what == "raise"
        return history

    def close(self) -> None:
        os.close(self._descriptor)
