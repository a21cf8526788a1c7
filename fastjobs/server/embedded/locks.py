"""File locks between processes (`flock`): owned by an open file, shared with children."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, mode: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold a file lock.

    Args:
        path: the file; created when missing.
        mode: `fcntl.LOCK_EX` (default) or `LOCK_SH`, with `LOCK_NB` to not wait.

    Raises:
        BlockingIOError: `mode` has `LOCK_NB` and somebody else holds the lock.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, mode)
        yield
    finally:
        # Not left to close: a child forked meanwhile shares the lock and would go on holding it.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Tell whether anybody holds the lock exclusively."""
    # Looked at with a shared lock, so that two processes that look do not see each other.
    try:
        with locked(path, fcntl.LOCK_SH | fcntl.LOCK_NB):
            return False
    except BlockingIOError:
        return True


@contextmanager
def inheritable_lock(path: Path) -> Iterator[int]:
    """Take a lock for the children that inherit the yielded file descriptor.

    It is closed but never unlocked: the lock lasts until the last of them is gone.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
