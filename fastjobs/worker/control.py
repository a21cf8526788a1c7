"""The line between the supervisor and one of its processes: JSON lines over a socket pair.

A process learns from the end of the line that its supervisor is gone.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import orjson


class ControlLine:
    """One end of the line; never blocks. Messages arrive whole, in the order in which they were sent."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._socket.setblocking(False)
        self._received = bytearray()
        #: What the socket had no room for: `flush` sends it.
        self.unsent = bytearray()
        #: True once the other end is gone.
        self.closed = False

    def fileno(self) -> int:
        """The descriptor to poll."""
        return self._socket.fileno()

    @property
    def awaited(self) -> int:
        """The events to poll for: messages and, while something is unsent, room for it."""
        return select.POLLIN | (select.POLLOUT if self.unsent else 0)

    def send(self, **message: Any) -> None:
        """Sends one message, now or by later calls of `flush`; without a listener it sets `closed` instead."""
        self.unsent += orjson.dumps(message) + b"\n"
        self.flush()

    def flush(self) -> None:
        """Sends as much of what is unsent as the socket takes."""
        try:
            while self.unsent:
                del self.unsent[: self._socket.send(self.unsent)]
        except BlockingIOError:
            return
        except OSError:
            self.closed = True
            self.unsent.clear()

    def receive(self) -> list[dict[str, Any]]:
        """Returns the messages that have come; what is none is passed over, since jobs could reach the descriptor."""
        while not self.closed:
            try:
                data = self._socket.recv(65536)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self.closed = True
            self._received += data
        *lines, self._received = self._received.split(b"\n")
        return list(_messages(lines))

    def close(self) -> None:
        """Closes this end."""
        self._socket.close()


def _messages(lines: Iterable[bytearray]) -> Iterable[dict[str, Any]]:
    for line in lines:
        with suppress(orjson.JSONDecodeError):
            message = orjson.loads(line)
            if isinstance(message, dict):
                yield message
