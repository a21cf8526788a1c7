"""A proxy between a client and a server that misbehaves on demand: what networks do to connections."""

from __future__ import annotations

import contextlib
import select
import shutil
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable
from enum import Enum


class Behaviour(Enum):
    """What the proxy does with the bytes of all its connections."""

    #: Hands everything on.
    PASS = "pass"
    #: Hands requests on and throws replies away: the connection looks alive, nothing answers.
    BLACKHOLE = "blackhole"
    #: Hands requests on and closes the connection in place of the reply.
    CUT_AFTER_REQUEST = "cut after request"
    #: Closes the connection when a request comes, before the server sees it.
    CUT_BEFORE_REQUEST = "cut before request"
    #: Hands requests on and ends the connection with a TCP reset (a plain end on a unix socket) in place of the reply.
    RESET = "reset"
    #: Hands requests on and shuts its sending side down in place of the reply; it keeps reading.
    HALF_CLOSE = "half-close"
    #: Hands requests on and answers with bytes that are no reply.
    GARBLE = "garble"
    #: Hands replies on one byte at a time.
    DRIP = "drip"
    #: Does not accept connections and ends those there are.
    REFUSE = "refuse"


class _Pair:
    """One connection of a client, with the proxy's own to the server."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._client_ended = False
        self._late = False

    def run(self) -> None:
        with self._client, self._server, contextlib.suppress(OSError):
            while self._turn():
                pass

    def end(self) -> None:
        for end in (self._client, self._server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _turn(self) -> bool:
        """Moves what has come; False when the connection is over."""
        readable, _, _ = select.select([self._client, self._server], [], [], 1)
        if self._client in readable:
            data = self._client.recv(1 << 16)
            if not data or not self._proxy.on_request(data):
                return False
            self._late = self._late or self._proxy.holds_back(data)
            self._server.sendall(data)
        if self._server in readable:
            data = self._server.recv(1 << 16)
            return bool(data) and self._answer(data)
        return True

    def _answer(self, data: bytes) -> bool:
        behaviour = self._proxy.on_reply(late=self._late)
        if behaviour is Behaviour.BLACKHOLE or self._client_ended:
            return True
        if behaviour is Behaviour.CUT_AFTER_REQUEST:
            return False
        if behaviour is Behaviour.RESET:
            # Lingering for zero seconds makes the kernel send a reset.
            self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if behaviour is Behaviour.HALF_CLOSE:
            self._client.shutdown(socket.SHUT_WR)
            self._client_ended = True
            return True
        if behaviour is Behaviour.GARBLE:
            data = b"?" + data[1:]
        if behaviour is Behaviour.DRIP:
            for position in range(len(data)):
                self._client.sendall(data[position : position + 1])
            return True
        self._client.sendall(data)
        return True


class Proxy:
    """Listens on a unix socket or (`tcp`) on a loopback port, and connects to the server's unix socket.

    Args:
        server_socket: path of the server's unix socket.
        tcp: listen on TCP.
    """

    def __init__(self, server_socket: str, *, tcp: bool = False) -> None:
        self._server_socket = server_socket
        self._directory = tempfile.mkdtemp(prefix="fjp-", dir="/tmp")
        self._lock = threading.Lock()
        self._behaviour = Behaviour.PASS
        self._times: int | None = None
        self._delay_s = 0.0
        self._delayed = b""
        self._pairs: set[_Pair] = set()
        self._threads: list[threading.Thread] = []
        self._closed = False
        #: Requests (as they were read, in portions) that came, and replies that were not handed on as they were.
        self.requests = 0
        self.harmed = 0
        #: Called with the bytes of each portion of a request before it is handed on.
        self.watch: Callable[[bytes], None] = lambda data: None
        if tcp:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"
        else:
            path = f"{self._directory}/p"
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(path)
            self._listener.listen(64)
            self.url = f"unix://{path}"

    def behave(self, behaviour: Behaviour, times: int | None = None) -> None:
        """Changes what happens from the next portion on.

        Args:
            behaviour: what to do.
            times: do it to so many replies (for CUT_BEFORE_REQUEST: requests), then pass; None = until changed.
        """
        with self._lock:
            self._behaviour, self._times = behaviour, times
            pairs = list(self._pairs)
        if behaviour is Behaviour.REFUSE:
            for pair in pairs:
                pair.end()

    def heal(self) -> None:
        """Passes everything on again."""
        self.behave(Behaviour.PASS)

    def swallow_one_reply(self) -> None:
        """Lets the next request through and closes the connection in place of its reply."""
        self.behave(Behaviour.CUT_AFTER_REQUEST, 1)

    def delay_replies(self, seconds: float, word: bytes = b"") -> None:
        """Holds each reply back; 0 = no longer.

        Args:
            seconds: for how long.
            word: only over connections on which a request with this in it is sent from now on.
        """
        self._delay_s, self._delayed = seconds, word

    def holds_back(self, request: bytes) -> bool:
        """Whether the connection of a request is one whose replies are to come late."""
        return bool(self._delayed) and self._delayed in request

    def on_request(self, data: bytes) -> bool:
        """Counts a portion of a request; False when it is not to be handed on."""
        self.requests += 1
        self.watch(data)
        with self._lock:
            if self._behaviour is Behaviour.CUT_BEFORE_REQUEST:
                self._use_up()
                return False
        return True

    def on_reply(self, *, late: bool) -> Behaviour:
        """Returns what to do with a portion of a reply; late: of a connection that `delay_replies` chose by a word."""
        if self._delay_s and (late or not self._delayed):
            time.sleep(self._delay_s)
        with self._lock:
            behaviour = self._behaviour
            if behaviour not in (Behaviour.PASS, Behaviour.CUT_BEFORE_REQUEST):
                self._use_up()
            return behaviour

    def _use_up(self) -> None:
        self.harmed += 1
        if self._times is not None:
            self._times -= 1
            if self._times == 0:
                self._behaviour, self._times = Behaviour.PASS, None

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._closed or self._behaviour is Behaviour.REFUSE:
                client.close()
                continue
            self._begin(client)

    def _begin(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self._server_socket)
        except OSError:
            client.close()
            server.close()
            return
        pair = _Pair(self, client, server)
        with self._lock:
            self._pairs.add(pair)
        self._start(lambda: self._serve(pair))

    def _serve(self, pair: _Pair) -> None:
        try:
            pair.run()
        finally:
            with self._lock:
                self._pairs.discard(pair)

    def _start(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, daemon=True)
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """Ends all connections and the proxy's threads."""
        self._closed = True
        # Closing alone would leave the accepting thread asleep.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            pair.end()
        for thread in self._threads:
            thread.join(10)
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Proxy:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Proxy {self.url} {self._behaviour.value}>"
