"""One connection to the server: made by redis-py (TCP, unix socket, TLS, AUTH), used by our own packer and reader.

redis-py's retries are off: it would resend a write up to ten times by itself. `error_replies` says what an error means;
the callers decide what to do about it.
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastjobs import errors
from fastjobs._core import NOT_READY, CommandBuffer, ReplyError, ReplyReader, pack_head, receive_into, send_all
from fastjobs.server.error_replies import classify
from fastjobs.server.locators import Locator, locate
from fastjobs.server.script import Script

if TYPE_CHECKING:
    from redis.connection import AbstractConnection

#: Bytes requested per read; a reply with a thousand small jobs fits.
_READ_SIZE = 1 << 18


def _let_kernel_time_out(connected: socket.socket, timeout_s: float) -> bool:
    """Makes the kernel end reads and writes of a plain socket after a time, without a poll before each of them.

    Returns:
        False for a socket with TLS, which supports only Python's own timeouts.
    """
    if type(connected) is not socket.socket:
        return False
    connected.settimeout(None)
    seconds, fraction = divmod(timeout_s, 1)
    interval = struct.pack("ll", int(seconds), max(1, int(fraction * 1_000_000)))
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, interval)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, interval)
    return True


def server_version(url: str, timeout_s: float = 5.0) -> str:
    """Asks a server for its product and version, for example `valkey 9.1.2`; `unknown` when it does not answer that.

    Raises:
        Unavailable: no server answers.
        AccessDenied: it refuses the credentials.
    """
    client = Client(url, timeout_s)
    question = CommandBuffer()
    question.call(pack_head("INFO", "server"))
    try:
        (reply,) = client.receive(client.send(question.tobytes(), 1))
    finally:
        client.close()
    if not isinstance(reply, bytes):
        return "unknown"
    fields = dict(line.split(":", 1) for line in reply.decode().splitlines() if ":" in line)
    name = fields.get("server_name", "redis")
    return f"{name} {fields.get(f'{name}_version', 'unknown')}"


@dataclass(slots=True, eq=False)
class Expected:
    """The replies to one write: they arrive on its connection, after the replies to the writes before it."""

    number: int
    replies: list[Any] = field(default_factory=list)
    #: The connection is gone, and with it the replies that had not been read.
    lost: bool = False

    @property
    def complete(self) -> bool:
        """Whether all replies have been read."""
        return len(self.replies) == self.number

    @property
    def has_failed(self) -> bool:
        """Whether a reply will not come any more, or is an error."""
        return (self.lost and not self.complete) or any(isinstance(reply, ReplyError) for reply in self.replies)


class Client:
    """One connection to the server, opened at its first use and again after it was lost.

    Not thread-safe. Safe after fork: a child never writes to the socket of its parent, but opens its own.

    An exception from outside (KeyboardInterrupt, a signal handler's, a job's timeout) may end a step of it anywhere.
    `midway` is true from before a step changes anything until it has ended well, so nothing has to run when a step is
    interrupted: the next step finds `midway` set and begins with a new connection. What runs in the middle of a step,
    such as a signal handler that enqueues, must look at `midway` first, and use another client.

    Args:
        server: its URL, or the locator that finds it; a cluster's URL means any of its nodes.
        timeout_s: seconds until a connect or a reply is given up.
        revive: called when the server does not answer, before connecting again; None = nothing can be done.
    """

    def __init__(
        self, server: str | Locator, timeout_s: float = 5.0, revive: Callable[[], object] | None = None
    ) -> None:
        self._locator = locate(server) if isinstance(server, str) else server
        self._timeout_s = timeout_s
        self._revive = revive
        #: Returns the scripts that every new connection loads if the server lacks them; the store sets it.
        self.scripts: Callable[[], Sequence[Script]] = tuple
        self._connection: AbstractConnection | None = None
        #: Whether a step is being made, or was interrupted: what was written and read is uncertain.
        self.midway = False
        #: Whether the connection is ready for calls.
        self._is_open = False
        #: Counts the connections: data written over one and over the next may be on different servers.
        self.generation = 0
        self._socket: socket.socket | None = None
        self._reader = ReplyReader()
        self._pid = 0
        #: Whether the kernel ends reads and writes that take too long, at no cost; with TLS Python has to.
        self._kernel_timeouts = False
        #: The buffer of all reads: a new one of this size would cost more than a read.
        self._received = memoryview(bytearray(_READ_SIZE))
        #: Writes whose replies have not been read yet, oldest first: only their order distinguishes replies.
        self._expected: deque[Expected] = deque()

    @property
    def timeout_s(self) -> float:
        """Seconds until a connect or a reply is given up."""
        return self._timeout_s

    def connect(self) -> None:
        """Connects, authenticates and loads the scripts that the server lacks, unless that is already done.

        Raises:
            Unavailable: no server answers, or it is not ready yet.
            AccessDenied: it refuses the credentials.
        """
        if self._is_open and self._pid == os.getpid() and not self.midway:
            return
        if self.midway:
            self.close()
        from redis import exceptions  # noqa: PLC0415 - see the module urls

        self.midway = True
        self._forget()
        try:
            self._connect()
        except exceptions.AuthenticationError as error:
            self.close()
            raise errors.AccessDenied(str(error)) from error
        except (exceptions.RedisError, OSError) as error:
            self.close()
            raise errors.Unavailable(f"no connection to the server: {error}") from error
        assert self._connection is not None
        connected = self._connection._sock
        assert isinstance(connected, socket.socket)
        self._kernel_timeouts = _let_kernel_time_out(connected, self._timeout_s)
        self._socket = connected
        self._pid = os.getpid()
        self._check_role()
        self._load_missing_scripts()
        self._is_open = True
        self.midway = False

    def _connect(self) -> None:
        from redis.exceptions import ConnectionError  # noqa: PLC0415 - see the module urls

        try:
            self._open()
        except (ConnectionError, OSError):
            if self._revive is None:
                raise
            self._revive()
            self._open()

    def _open(self) -> None:
        # Located anew each time: the URL may mean another server by now.
        self._connection = self._locator.connection(self._timeout_s)
        self._connection.connect()

    def _check_role(self) -> None:
        """Refuses a server that has just become a replica: it would answer with outdated data."""
        if not self._locator.wants_master:
            return
        (reply,) = self._ask([("ROLE",)])
        if reply[0] != b"master":
            self.close()
            raise errors.Unavailable(f"the server that should be the master is a {reply[0].decode()}")

    def load_scripts(self, scripts: Iterable[Script] | None = None) -> None:
        """Loads scripts into the server: a pipelined EVALSHA has no fallback of its own.

        Args:
            scripts: the scripts; None = all.

        Raises:
            StoreError: the server refuses them, or the connection broke.
        """
        self.connect()
        self.midway = True
        self._load(self.scripts() if scripts is None else scripts)
        self.midway = False

    def _load(self, scripts: Iterable[Script]) -> None:
        self._ask([("SCRIPT", "LOAD", script.source) for script in scripts])

    def _load_missing_scripts(self) -> None:
        # All scripts are a few hundred kilobytes: sending them over each of many connections would burden the server.
        scripts = self.scripts()
        if not scripts:
            return
        (known,) = self._ask([("SCRIPT", "EXISTS", *(script.sha for script in scripts))])
        missing = [script for script, is_known in zip(scripts, known, strict=True) if not is_known]
        if missing:
            self._load(missing)

    def _ask(self, commands: list[tuple[str, ...]]) -> list[Any]:
        """Returns the replies to commands that must succeed; part of a step."""
        buffer = CommandBuffer()
        for words in commands:
            buffer.extend(pack_head(words[0]), words[1:])
        replies = self._await(self._write(buffer.tobytes(), len(commands)))
        for reply in replies:
            if isinstance(reply, ReplyError):
                self.close()
                raise classify(reply.message)
        return replies

    def send(self, data: bytes, number: int) -> Expected:
        """Writes commands, and connects first if needed.

        Args:
            data: the commands, packed.
            number: the number of commands.

        Returns:
            A handle for `receive` and `ready`, which return the replies.

        Raises:
            ConnectionLost: some or all commands may have arrived.
            Unavailable: there is no connection; nothing was sent.
        """
        self.connect()
        self.midway = True
        expected = self._write(data, number)
        self.midway = False
        return expected

    def _write(self, data: bytes, number: int) -> Expected:
        assert self._socket is not None
        try:
            if self._kernel_timeouts:
                send_all(self._socket.fileno(), data, self._timeout_s)
            else:
                self._socket.settimeout(self._timeout_s)
                self._socket.sendall(data)
        except OSError as error:
            self._take_in_what_came()
            self.close()
            raise errors.ConnectionLost(f"the connection broke while sending: {error}") from error
        expected = Expected(number)
        # A write without replies must not stand in line: it would take the replies of the next one.
        if number:
            self._expected.append(expected)
        return expected

    def receive(self, expected: Expected) -> list[Any]:
        """Reads the replies to a write; replies to earlier writes are read on the way, and kept for their receivers.

        Returns:
            For each command bytes, int, list or None; `ReplyError` if the server refused it.

        Raises:
            ConnectionLost: not all replies arrived in time; the connection is closed.
        """
        if self.midway:
            self.close()
        self.midway = True
        replies = self._await(expected)
        self.midway = False
        return replies

    def _await(self, expected: Expected) -> list[Any]:
        deadline, is_first = time.monotonic() + self._timeout_s, True
        while not expected.complete:
            self._check(expected)
            if not self._take_in():
                self._read(deadline, is_first=is_first)
                is_first = False
        return expected.replies

    def ready(self, expected: Expected) -> bool:
        """Whether the replies to a write have arrived; does not wait.

        Raises:
            ConnectionLost: they will not arrive any more.
        """
        if self.midway:
            self.close()
        self.midway = True
        while not expected.complete:
            self._check(expected)
            if not self._take_in() and not self._read_what_came():
                break
        self.midway = False
        return expected.complete

    @property
    def peer(self) -> tuple[str, int]:
        """Host and port of the connection; ("", 0) for a unix socket."""
        return getattr(self._connection, "host", ""), getattr(self._connection, "port", 0)

    def fileno(self) -> int:
        """The socket's descriptor, or -1 when not connected."""
        return -1 if self._socket is None else self._socket.fileno()

    def close(self) -> None:
        """Closes the connection; the next use opens it again."""
        self.midway = True
        # After a fork, redis-py closes the parent's socket here without shutting the connection down.
        if self._connection is not None:
            self._connection.disconnect()
        self._forget()
        self.midway = False

    def _check(self, expected: Expected) -> None:
        if expected.lost or self._pid != os.getpid():
            self.midway = False
            raise errors.ConnectionLost("the connection was closed before the reply came")

    def _forget(self) -> None:
        # The socket is dropped, not shut down: after a fork, the parent goes on using it.
        self._is_open = False
        self._connection = None
        self._socket = None
        self.generation += 1
        self._reader = ReplyReader()
        for expected in self._expected:
            expected.lost = True
        self._expected.clear()

    def _take_in(self) -> bool:
        """Assigns the next reply to the oldest waiting write; returns False when no reply is complete."""
        try:
            reply = self._reader.get()
            if reply is NOT_READY:
                return False
            oldest = self._expected[0]
            oldest.replies.append(reply)
            if oldest.complete:
                self._expected.popleft()
        except ValueError as error:
            raise self._broken(str(error)) from error
        return True

    def _take_in_what_came(self) -> None:
        """Assigns the replies that came before a connection broke: their calls need not be sent again."""
        with suppress(errors.ConnectionLost):
            while self._expected and (self._take_in() or self._read_what_came()):
                pass

    def _read(self, deadline: float, *, is_first: bool) -> None:
        """Waits for more bytes and reads them; the first read may take as long as the kernel lets it."""
        left = deadline - time.monotonic()
        if left <= 0 or not self._receive(left, kernel_waits=is_first):
            raise self._broken("no reply in time")

    def _read_what_came(self) -> bool:
        """Reads bytes that have already arrived; returns False when there are none."""
        return self._receive(0.0)

    def _receive(self, left_s: float, *, kernel_waits: bool = False) -> bool:
        """Reads once; returns False when nothing arrived in time."""
        if self._socket is None:
            raise errors.ConnectionLost("the connection is closed")
        try:
            if self._kernel_timeouts:
                number = receive_into(self._socket.fileno(), self._received, left_s, kernel_waits)
            else:
                # TLS takes no flags, and a poll does not see the bytes that it has already decrypted.
                self._socket.settimeout(left_s)
                number = self._socket.recv_into(self._received, _READ_SIZE)
        except (BlockingIOError, TimeoutError, ssl.SSLWantReadError):
            return False
        except OSError as error:
            raise self._broken(str(error)) from error
        if not number:
            raise self._broken("the server closed the connection")
        if number < 0:
            return False
        self._reader.feed(self._received[:number])
        return True

    def _broken(self, reason: str) -> errors.ConnectionLost:
        self.close()
        return errors.ConnectionLost(f"the connection broke while reading: {reason}")
