"""The line between the supervisor and one of its processes: JSON lines over a socket pair.

A process learns from the end of the line that its supervisor is gone.
"""

from __future__ import annotations

import socket
from typing import Any

import orjson


class ControlLine:
    """One end of the line; never blocks on reading."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._socket.setblocking(False)
        self._received = b""
        #: True once the other end is gone.
        self.closed = False

    def fileno(self) -> int:
        """The descriptor to poll."""
        return self._socket.fileno()

    def send(self, **message: Any) -> None:
        """Sends one message; without a listener it sets `closed` and raises nothing."""
        try:
            self._socket.sendall(orjson.dumps(message) + b"\n")
        except OSError:
            self.closed = True

    def receive(self) -> list[dict[str, Any]]:
        """Returns the messages that have come."""
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
        return [orjson.loads(line) for line in lines]

    def close(self) -> None:
        """Closes this end."""
        self._socket.close()
