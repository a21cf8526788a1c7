"""What a hint costs a server by the number of clients that wait for one: the server's own part of waking a worker."""

from __future__ import annotations

import socket

from bench.nodes import Nodes
from bench.rows.row import Figure, Row
from bench.server import wait_until

_WAIT = b"*3\r\n$5\r\nBLPOP\r\n$4\r\nwake\r\n$1\r\n0\r\n"
_HINT = b"*3\r\n$5\r\nLPUSH\r\n$4\r\nwake\r\n$0\r\n\r\n"
_HINTS = 500
_TIMEOUT_S = 30.0


class Waiters(Row):
    """One hint at a time for clients of which each waits again once it was woken; no fastjobs in it."""

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
                for waiter in waiters:
                    waiter.sendall(_WAIT)
                (client,) = nodes.clients
                wait_until(lambda: client.info("clients")["blocked_clients"] == number, _TIMEOUT_S, "all wait")
                before_s = sum(nodes.cpu_s())
                for turn in range(_HINTS):
                    producer.sendall(_HINT)
                    _expect(producer, b":1\r\n")
                    # Who has waited longest is woken.
                    woken = waiters[turn % number]
                    _expect(woken, b"*2\r\n$4\r\nwake\r\n$0\r\n\r\n")
                    woken.sendall(_WAIT)
                return (sum(nodes.cpu_s()) - before_s) * 1e6 / _HINTS
            finally:
                for connection in (producer, *waiters):
                    connection.close()


def _expect(connection: socket.socket, reply: bytes) -> None:
    received = b""
    while len(received) < len(reply):
        received += connection.recv(len(reply) - len(received))
    if received != reply:
        raise RuntimeError(f"the server answers {received!r}")
