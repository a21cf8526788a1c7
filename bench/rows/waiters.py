"""The cost of a hint to a server by the number of waiting clients: the server's own part of waking a worker."""

from __future__ import annotations

import random
import selectors
import socket

from bench.nodes import Nodes
from bench.rows.row import Figure, Row
from bench.server import wait_until

_HINT = b"*3\r\n$5\r\nLPUSH\r\n$4\r\nwake\r\n$0\r\n\r\n"
_HINTS = 500
_TIMEOUT_S = 30.0


class Waiters(Row):
    """One hint at a time for clients that wait again once they were woken, without fastjobs."""

    name = "waiters"
    title = "server CPU per hint while N clients wait for one, TCP"
    numbers = (10, 100, 300, 1000)
    figures = (
        *(Figure(f"n{number}", "us") for number in numbers),
        Figure("n1000_vs_n10", "x", at_most=2),
    )

    def measure(self, turn: int) -> dict[str, float]:
        values = {f"n{number}": self._hint_us(number) for number in self.numbers}
        return values | {"n1000_vs_n10": values["n1000"] / values["n10"]}

    def _hint_us(self, number: int) -> float:
        with Nodes(self.setting.binary) as nodes:
            (server,) = nodes.servers
            address = (server.host, server.port)
            producer = socket.create_connection(address, _TIMEOUT_S)
            waiters = [socket.create_connection(address, _TIMEOUT_S) for _ in range(number)]
            try:
                with selectors.DefaultSelector() as ready:
                    self._let_wait(nodes, waiters, ready)
                    before_s = sum(nodes.cpu_s())
                    for _ in range(_HINTS):
                        producer.sendall(_HINT)
                        _expect(producer, b":1\r\n")
                        for key, _ in ready.select(_TIMEOUT_S):
                            _expect(key.data, b"*2\r\n$4\r\nwake\r\n$0\r\n\r\n")
                            key.data.sendall(_wait("0"))
                    return (sum(nodes.cpu_s()) - before_s) * 1e6 / _HINTS
            finally:
                for connection in (producer, *waiters):
                    connection.close()

    def _let_wait(self, nodes: Nodes, waiters: list[socket.socket], ready: selectors.BaseSelector) -> None:
        """Makes all clients wait, one after the other in random order.

        Workers return to their wait in such an order, too. A server goes several times faster through a list whose
        parts lie in order in its memory.
        """
        for waiter in waiters:
            ready.register(waiter, selectors.EVENT_READ, waiter)
            waiter.sendall(_wait(f"{random.uniform(0.5, 1.5):.3f}"))
        over = 0
        while over < len(waiters):
            for key, _ in ready.select(_TIMEOUT_S):
                _expect(key.data, b"*-1\r\n")
                key.data.sendall(_wait("0"))
                over += 1
        (client,) = nodes.clients
        wait_until(lambda: client.info("clients")["blocked_clients"] == len(waiters), _TIMEOUT_S, "all wait")


def _wait(seconds: str) -> bytes:
    return b"*3\r\n$5\r\nBLPOP\r\n$4\r\nwake\r\n$%d\r\n%s\r\n" % (len(seconds), seconds.encode())


def _expect(connection: socket.socket, reply: bytes) -> None:
    received = b""
    while len(received) < len(reply):
        received += connection.recv(len(reply) - len(received))
    if received != reply:
        raise RuntimeError(f"the server answers {received!r}")
