"""Steps of the supervisor that raise unexpectedly: logged, and no reason to end what its processes are doing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from fastjobs.logs import event
from fastjobs.server.backoff import Backoff

log = logging.getLogger("fastjobs.supervisor")

#: The same error is logged again after so many seconds.
_LOG_AGAIN_S = 60.0


class Mishaps:
    """Runs steps that may raise. After an error it pauses for a moment, as the next turn may bring the same one."""

    def __init__(self) -> None:
        self._pause = Backoff(first_s=0.02, cap_s=0.5)
        self._logged: dict[str, float] = {}

    def survive(self, step: Callable[[], object]) -> None:
        """Runs a step."""
        try:
            step()
        except Exception as error:
            self._log(error)
            time.sleep(self._pause.next_s())

    def _log(self, error: Exception) -> None:
        text, now = f"{type(error).__name__}: {error}", time.monotonic()
        if now >= self._logged.get(text, 0.0):
            self._logged = {**dict(list(self._logged.items())[-9:]), text: now + _LOG_AGAIN_S}
            event(log, logging.ERROR, "error in the supervisor, continuing", exc_info=True, reason=text)
