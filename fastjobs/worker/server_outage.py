"""Tells of a server that does not serve: each reason once, and when it serves again."""

from __future__ import annotations

import logging

from fastjobs.errors import StoreError
from fastjobs.logs import event

log = logging.getLogger("fastjobs.worker")

#: Most reasons told of one outage: texts that differ each time must not fill the log.
_MAX_TOLD = 10


class Outage:
    """Whether the server serves, as far as is known. What ends a connection tells less than what prevents a new one."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def failed(self, reason: StoreError) -> None:
        """Notes that a call failed, and tells a new reason."""
        if str(reason) not in self._told and len(self._told) < _MAX_TOLD:
            self._told.add(str(reason))
            event(log, logging.WARNING, "server unavailable, retrying", reason=reason)

    def ended(self) -> bool:
        """Notes that a call was answered; returns, and tells, whether that ends an outage."""
        if not self._told:
            return False
        self._told.clear()
        event(log, logging.INFO, "server available again")
        return True
