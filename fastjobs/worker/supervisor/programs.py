"""Ends the programs that jobs have left running when their process dies.

A program is recognised by a variable in its environment, which it inherits from the process of the worker, and which
its own programs inherit from it: so grandchildren are found whoever is their parent by now.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fastjobs.model.setting_names import STARTED_BY

#: The kernel notes when a program started in ticks of so many nanoseconds.
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
#: A program may start another one just before it is killed, which is found by looking again; at most so often.
_LOOKS = 5


def end_programs(session: str, since_ns: int) -> int:
    """Kills the programs that were started in a process that has died; returns how many.

    Programs that have a session of their own (`setsid`, `start_new_session=True`) are left alone, as daemons are.

    Args:
        session: the session of the process, which marks its programs.
        since_ns: programs that were started before are left alone, in nanoseconds of the boot clock.
    """
    killed: set[int] = set()
    for _ in range(_LOOKS):
        new = set(_kill_marked(f"{STARTED_BY}={session}".encode(), since_ns)) - killed
        if not new:
            break
        killed |= new
    return len(killed)


def _kill_marked(mark: bytes, since_ns: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        # One that has ended or belongs to somebody else cannot be looked at, and concerns nobody here.
        with suppress(OSError, IndexError):
            if entry.name.isdigit() and _kill_if_marked(entry, mark, since_ns):
                yield int(entry.name)


def _kill_if_marked(directory: Path, mark: bytes, since_ns: int) -> bool:
    with _held(int(directory.name)) as held:
        # After the name in parentheses, which may contain anything.
        fields = (directory / "stat").read_text(errors="replace").rpartition(")")[2].split()
        state, session_id, started_ns = fields[0], int(fields[3]), int(fields[19]) * _TICK_NS
        if state == "Z" or session_id != os.getsid(0) or started_ns + _TICK_NS <= since_ns:
            return False
        if mark not in (directory / "environ").read_bytes().split(b"\0"):
            return False
        signal.pidfd_send_signal(held, signal.SIGKILL)
        return True


@contextmanager
def _held(pid: int) -> Iterator[int]:
    """A descriptor that means this very process, also when its id is used again."""
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
