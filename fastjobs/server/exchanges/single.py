"""Sends one batch to one server, and decides how long any batch is tried."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from fastjobs import errors
from fastjobs._core import CommandBuffer, ReplyError
from fastjobs.server.backoff import Backoff
from fastjobs.server.connection import Client, Expected
from fastjobs.server.error_replies import classify
from fastjobs.server.exchanges.clustered import RoutedExchange

#: Errors after which a producer tries again until its budget ends: sending twice is harmless.
PRODUCER_RETRIES: tuple[type[errors.StoreError], ...] = (
    errors.ConnectionLost,
    errors.Unavailable,
    errors.ReadOnly,
)
#: A worker tries again after any error: a full server drains, rights are restored, foreign keys are removed.
WORKER_RETRIES: tuple[type[errors.StoreError], ...] = (errors.StoreError,)


class Exchange:
    """The tries of one batch: which calls are still open, and whether one may have been applied."""

    #: A server that forgets scripts faster than they can be called cannot be used.
    _MAX_SCRIPT_LOADS = 100

    def __init__(self, client: Client, buffer: CommandBuffer) -> None:
        self._client = client
        self._buffer = buffer
        #: The replies that are awaited; None = the open calls must be sent (again).
        self._expected: Expected | None = None
        #: Whether a try was lost that may have been applied.
        self.in_doubt = False
        self._open = list(range(len(buffer)))
        self._script_loads = 0
        self.replies: list[Any] = [None] * len(buffer)
        self.scripts_are_missing = False

    def begin(self) -> None:
        """Sends the calls for the first time; if that fails, `step` sends them again."""
        try:
            self._expected = self._client.send(self._buffer.tobytes(), len(self._open))
        except errors.StoreError as error:
            self.in_doubt = isinstance(error, errors.ConnectionLost)

    def ready(self) -> bool:
        """Whether the replies have arrived, or will not arrive."""
        try:
            return self._expected is None or self._client.ready(self._expected)
        except errors.StoreError:
            return True

    @property
    def has_failed(self) -> bool:
        """Whether a call has to be sent again, as far as is known without reading."""
        return self._expected is None or self._expected.has_failed

    def step(self) -> errors.StoreError | None:
        """Makes one try; returns the error that left calls unanswered, or None when all are answered."""
        try:
            if self._expected is not None and self._expected.lost and not self._expected.complete:
                self.in_doubt, self._expected = True, None
            if self._expected is None:
                self._expected = self._send_open()
            replies = self._client.receive(self._expected)
        except errors.StoreError as error:
            self.in_doubt = self.in_doubt or isinstance(error, errors.ConnectionLost)
            self._expected = None
            self.scripts_are_missing = False
            return error
        return self._sort(replies)

    def _send_open(self) -> Expected:
        if self.scripts_are_missing:
            self._client.load_scripts()
        return self._client.send(b"".join(self._buffer.command(index) for index in self._open), len(self._open))

    def _sort(self, replies: list[Any]) -> errors.StoreError | None:
        failure: errors.StoreError | None = None
        still_open = []
        self._expected = None
        self.scripts_are_missing = False
        for index, reply in zip(self._open, replies, strict=True):
            if not isinstance(reply, ReplyError):
                self.replies[index] = reply
                continue
            still_open.append(index)
            if "NOSCRIPT" in reply.message and self._script_loads < self._MAX_SCRIPT_LOADS:
                self.scripts_are_missing = True
                self._script_loads += 1
            failure = classify(reply.message)
        self._open = still_open
        return failure

    @property
    def again_at_once(self) -> bool:
        """Whether the next try need not wait."""
        return self.scripts_are_missing

    def recover(self) -> None:
        """Prepares the next try after a wait, which uses a new connection."""
        self._client.close()

    def verdict(self, failure: errors.StoreError) -> errors.StoreError:
        """Returns the error to raise: in doubt if an earlier try may have been applied."""
        if self.in_doubt and not isinstance(failure, errors.ConnectionLost):
            return errors.ConnectionLost(f"the outcome is unknown; last error: {failure}")
        return failure


def try_on(
    exchange: Exchange | RoutedExchange,
    failure: errors.StoreError | None,
    retry_on: tuple[type[errors.StoreError], ...],
    deadline: float | None,
    give_up: Callable[[errors.StoreError], bool],
) -> None:
    """Tries again, after `failure`, until all calls are answered; arguments and errors as for `Batch.result`."""
    backoff = Backoff()
    while failure is not None:
        if not exchange.again_at_once:
            wait_s = backoff.next_s()
            out_of_time = deadline is not None and time.monotonic() + wait_s > deadline
            if not isinstance(failure, retry_on) or out_of_time or give_up(failure):
                if isinstance(failure, errors.ReadOnly):
                    # The next call must not meet the same replica.
                    exchange.recover()
                raise exchange.verdict(failure) from failure
            time.sleep(wait_s)
            exchange.recover()
        failure = exchange.step()
