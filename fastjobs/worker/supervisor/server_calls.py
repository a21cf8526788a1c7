"""The supervisor's calls of the server: without an answer they are put off, and the outage is logged."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fastjobs import errors
from fastjobs.store.store import Batch
from fastjobs.worker.server_outage import Outage
from fastjobs.worker.supervisor.watchdog import Watchdog

T = TypeVar("T")


class ServerCalls:
    """Makes calls that need the server.

    Args:
        watchdog: learns when the server is back: until then no process could fetch.
    """

    def __init__(self, watchdog: Watchdog) -> None:
        self._watchdog = watchdog
        self._outage = Outage()

    def guarded(self, call: Callable[[], T]) -> T | None:
        """Calls something that needs the server; returns None without an answer."""
        try:
            result = call()
        except errors.StoreError as error:
            self._outage.failed(error)
            return None
        if self._outage.ended():
            self._watchdog.server_is_back()
        return result

    def answered(self, batch: Batch) -> bool:
        """Sends a batch; returns whether it was answered."""

        def call() -> bool:
            batch.run()
            return True

        return self.guarded(call) is not None
