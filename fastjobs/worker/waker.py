"""Waits for hints that there is new work, on a connection of its own."""

from __future__ import annotations

from collections.abc import Sequence

from fastjobs import errors
from fastjobs._core import CommandBuffer, ReplyError, pack_head
from fastjobs.connection import Client

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
        self._waiting = False

    def arm(self) -> None:
        """Begins to wait, unless that is going on already."""
        if self._waiting:
            return
        try:
            self._client.send(self._command)
            self._waiting = True
        except errors.StoreError:
            self._client.close()

    def fileno(self) -> int:
        """The descriptor to poll, or -1 when nothing is waited for."""
        return self._client.fileno() if self._waiting else -1

    def hint(self) -> bytes | None:
        """Returns the wake list a hint came from; None when the wait is still on, or ended without one."""
        if not self._waiting:
            return None
        try:
            replies = self._client.ready(1)
        except errors.StoreError:
            self._waiting = False
            return None
        if not replies:
            return None
        self._waiting = False
        reply = replies[0]
        if isinstance(reply, ReplyError):
            self._client.close()
            return None
        return None if reply is None else reply[0]

    def close(self) -> None:
        """Closes the connection."""
        self._waiting = False
        self._client.close()
