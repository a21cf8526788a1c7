"""The context of a running job, passed to handlers whose first parameter is a `Context`.

The worker makes it. `Signals` hides how it learns of deadlines and cancellations.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, Protocol

from fastjobs._core import boot_time_ns
from fastjobs.errors import JobInterrupted, JobTimeout


class Signals(Protocol):
    """What the worker signals to a running job. Thread-safe."""

    def asked(self) -> type[JobInterrupted] | None:
        """Returns what the job was asked to end with; None when it was not asked, or its run is over."""

    def lease_lost(self) -> bool:
        """Whether the job may belong to another process by now."""


class _NoSignals:
    """For a handler that was called directly: nobody asks it to end."""

    def asked(self) -> None:
        """Returns None."""

    def lease_lost(self) -> bool:
        """Returns False."""
        return False


class Context:
    """The running job. Thread-safe.

    Attributes:
        job_id: its id; empty when the handler was called directly, not by a worker.
        type: name of its job type.
        queue: the queue it came from.
        attempt: which run of the job this is, counted from 1.
        deadline: when its timeout is over, on the clock of `time.monotonic`; None = never.
        deadline_at: the same as an aware datetime; None = never.
        logger: logs to `fastjobs.jobs` with the job's id, type and attempt.

    Example:
        @app.job(timeout=60)
        def resize(context: Context, path: str) -> None:
            for tile in tiles(path):
                context.check()
                ...
    """

    def __init__(
        self,
        job_id: str,
        job_type: str,
        queue: str,
        *,
        attempt: int = 1,
        deadline_ns: int = 0,
        signals: Signals | None = None,
    ) -> None:
        self.job_id = job_id
        self.type = job_type
        self.queue = queue
        self.attempt = attempt
        self.deadline: float | None = None
        self.deadline_at: datetime | None = None
        self._deadline_ns = deadline_ns
        self._signals: Signals = signals or _NoSignals()
        if deadline_ns:
            left_s = (deadline_ns - boot_time_ns()) / 1e9
            self.deadline = time.monotonic() + left_s
            self.deadline_at = datetime.fromtimestamp(time.time() + left_s, UTC)
        self.logger: logging.LoggerAdapter[logging.Logger] = JobLogger(
            logging.getLogger("fastjobs.jobs"), {"job": job_id, "type": job_type, "attempt": attempt}
        )

    @property
    def lease_lost(self) -> bool:
        """Whether another process may be running the job by now; anything it does from here on may be done twice."""
        return self._signals.lease_lost()

    def check(self) -> None:
        """Ends the job if it should end. Call it where it is safe to stop, in threads of your own, and between C calls.

        Raises:
            JobCancelled: the job was cancelled.
            JobTimeout: its time is over.
        """
        asked = self._signals.asked()
        if asked is not None:
            raise asked()
        if self._deadline_ns and boot_time_ns() >= self._deadline_ns:
            raise JobTimeout()

    def __repr__(self) -> str:
        return f"<Context of job {self.job_id or '(none)'} {self.type} attempt={self.attempt}>"


class JobLogger(logging.LoggerAdapter[logging.Logger]):
    """Adds the job to each line, as in fastjobs' own lines."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the name is that of `logging`
        """Whether a line of this level is written, also when a configuration has disabled the loggers it found."""
        self.logger.disabled = False
        return super().isEnabledFor(level)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Puts the job's facts where the formatters of `fastjobs.logs` find them, and `job_id` where others do."""
        facts = dict(self.extra or {})
        kwargs["extra"] = {"fastjobs_fields": facts, "job_id": facts["job"], **(kwargs.get("extra") or {})}
        return msg, kwargs


def takes_context(handler: Callable[..., Any]) -> bool:
    """Whether a handler's first parameter is annotated `Context`, as the class or as a string."""
    try:
        parameters = list(inspect.signature(handler).parameters.values())
    except (TypeError, ValueError):
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if not parameters or parameters[0].kind not in positional:
        return False
    annotation = parameters[0].annotation
    if not isinstance(annotation, str):
        return annotation is Context
    # Only this one annotation is looked up: others may name things that exist for type checkers only.
    names = getattr(inspect.unwrap(handler), "__globals__", {})
    found: Any = names
    for step in annotation.strip("'\" ").split("."):
        found = found.get(step) if isinstance(found, dict) else getattr(found, step, None)
    return found is Context or (found is None and annotation in ("Context", "fastjobs.Context"))
