"""Knows whether this process imports an app for a worker or a command, or runs its jobs, and refuses some actions then.

Each process of a worker imports the app again. A statement that enqueues would do so in every one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastjobs.errors import ConfigError

#: Whether an app is being imported.
running = False
#: Whether this is a process of a worker.
of_worker = False


@contextmanager
def app_import() -> Iterator[None]:
    """Marks its block as the import of an app."""
    global running  # noqa: PLW0603 - a process imports one app at a time
    running = True
    try:
        yield
    finally:
        running = False


def refuse(action: str) -> ConfigError:
    """Returns the error for an action in the middle of the import; `action` says what the app does."""
    return ConfigError(
        f"the app {action} while a worker or a command imports it: every process that imports it would do so again."
        " Put that code into a function, or under `if __name__ == '__main__':`"
    )
