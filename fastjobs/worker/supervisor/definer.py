"""Stores the recurring jobs that the app declares: once when the worker starts, and what a reload has changed."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from fastjobs.logs import event
from fastjobs.model.definition import Declared
from fastjobs.producing.declaring import store_declared
from fastjobs.store.store import Batch, Store

log = logging.getLogger("fastjobs.worker")

#: What the server did not take is given again after this long.
_AGAIN_S = 1.0


class Definer:
    """A duty that is due while something is not stored.

    Args:
        store: the supervisor's.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        #: What the processes have declared, as they said it: they all say the same, until code is reloaded.
        self._known: dict[str, list[Any]] = {}
        self._waiting: list[Declared] = []
        self.due_at = float("inf")

    def learn(self, declared: Sequence[list[Any]]) -> None:
        """Notes what a process has declared, in the form of `Declared.as_plain`."""
        for values in declared:
            key = values[-1]["id"]
            if self._known.get(key) != values:
                self._known[key] = values
                self._take(key, values)

    def run(self) -> None:
        """Stores what waits.

        Raises:
            StoreError: the server does not serve.
        """
        self.due_at = time.monotonic() + _AGAIN_S
        for declared, stored in zip(self._waiting, store_declared(self._store, self._waiting, Batch.run), strict=True):
            if isinstance(stored, Exception):
                _refuse(declared.definition.id, stored)
        self._waiting = []
        self.due_at = float("inf")

    def _take(self, definition_id: str, values: list[Any]) -> None:
        try:
            self._waiting = [one for one in self._waiting if one.definition.id != definition_id]
            self._waiting.append(Declared.from_plain(values))
            self.due_at = 0.0
        except Exception as error:
            # Whatever an app declares, the supervisor has to live.
            _refuse(definition_id, error)


def _refuse(definition_id: str, reason: Exception) -> None:
    event(log, logging.ERROR, "cannot store recurring job", recurring=definition_id, reason=reason)
