"""Logs outages of the server: each reason once, and the end."""

from __future__ import annotations

import logging

from fastjobs.errors import StoreError
from fastjobs.logs import event

log = logging.getLogger("fastjobs.worker")

#: Most reasons logged of one outage: texts that differ each time must not fill the log.
_MAX_LOGGED = 10


class Outage:
    """Whether the server is available, as far as is known."""

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def failed(self, reason: StoreError) -> None:
        """Notes that a call failed, and logs a new reason."""
        if str(reason) not in self._logged and len(self._logged) < _MAX_LOGGED:
            self._logged.add(str(reason))
            event(log, logging.WARNING, "server unavailable, retrying", reason=reason)

    def ended(self) -> bool:
        """Notes that a call was answered; logs and returns whether that ends an outage."""
        if not self._logged:
            return False
        self._logged.clear()
        event(log, logging.INFO, "server available again")
        return True
