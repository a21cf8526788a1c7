"""File locks between processes (`flock`): an open file owns them, children share them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, mode: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Holds a file lock.

    Args:
        path: the file; created if it is missing.
        mode: `fcntl.LOCK_EX` (default) or `LOCK_SH`; add `LOCK_NB` to not wait.

    Raises:
        BlockingIOError: `mode` has `LOCK_NB`, and another process holds the lock.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, mode)
        yield
    finally:
        # Unlocked explicitly, not by closing: a child forked meanwhile shares the lock and would go on holding it.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether any process holds the lock exclusively."""
    # A shared lock is used for the check, so that two processes that check do not see each other.
    try:
        with locked(path, fcntl.LOCK_SH | fcntl.LOCK_NB):
            return False
    except BlockingIOError:
        return True


@contextmanager
def inheritable_lock(path: Path) -> Iterator[int]:
    """Takes a lock for the children that inherit the yielded file descriptor.

    The descriptor is closed but never unlocked: the lock lasts until the last of these children is gone.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
