"""Waits for hints that there is new work, on a connection of its own."""

from __future__ import annotations

import time
from collections.abc import Sequence

from fastjobs import errors
from fastjobs._core import CommandBuffer, ReplyError, pack_head
from fastjobs.connection import Client, Expected

#: Seconds the server holds a wait: a hint that got lost costs an idle worker no more than this.
WAIT_S = 1


class Waker:
    """One blocking pop of the wake lists at a time. Never raises: without a connection nobody is woken early.

    Args:
        client: a connection used for nothing else.
        keys: the wake lists of the queues, in order.
    """

    def __init__(self, client: Client, keys: Sequence[bytes]) -> None:
        self._client = client
        commands = CommandBuffer()
        commands.call(pack_head("BLPOP", *keys, WAIT_S))
        self._command = commands.tobytes()
        self._waiting: Expected | None = None
        #: When a wait is given up that the server does not end, on the monotonic clock.
        self._deadline = 0.0

    def arm(self) -> None:
        """Begins to wait, unless that is going on already."""
        if self._waiting is not None:
            return
        try:
            self._waiting = self._client.send(self._command, 1)
            self._deadline = time.monotonic() + self._client.timeout_s
        except errors.StoreError:
            self._client.close()

    def fileno(self) -> int:
        """The descriptor to poll, or -1 when nothing is waited for."""
        return self._client.fileno() if self._waiting is not None else -1

    def hint(self) -> bytes | None:
        """Returns the wake list a hint came from; None when the wait is still on, or ended without one."""
        if self._waiting is None:
            return None
        try:
            if not self._client.ready(self._waiting):
                if time.monotonic() >= self._deadline:
                    # Nobody is at the other end, though nobody said so: the next wait gets a connection of its own.
                    self.close()
                return None
        except errors.StoreError:
            self._waiting = None
            return None
        (reply,) = self._waiting.replies
        self._waiting = None
        if isinstance(reply, ReplyError):
            self._client.close()
            return None
        return None if reply is None else reply[0]

    def close(self) -> None:
        """Closes the connection."""
        self._waiting = None
        self._client.close()
