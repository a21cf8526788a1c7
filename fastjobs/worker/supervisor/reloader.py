"""Watches Python files for `--reload`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from fastjobs import errors


class FileWatcher:
    """Calls back, from a thread of its own, when a Python file below the current directory changes.

    Args:
        on_change: what to call.

    Raises:
        ConfigError: the watchfiles package is not installed.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        try:
            import watchfiles  # noqa: PLC0415 - an optional dependency
        except ImportError as error:
            raise errors.ConfigError("--reload needs the package: pip install 'fastjobs[reload]'") from error
        self._watch = watchfiles.watch
        self._filter = watchfiles.PythonFilter()
        self._on_change = on_change
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begins to watch."""
        threading.Thread(target=self._main, name="fastjobs-reloader", daemon=True).start()

    def stop(self) -> None:
        """Ends watching."""
        self._stopping.set()

    def _main(self) -> None:
        changes = self._watch(Path.cwd(), watch_filter=self._filter, stop_event=self._stopping, raise_interrupt=False)
        for _ in changes:
            self._on_change()
