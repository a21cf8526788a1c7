"""The line between the supervisor and a process: whole messages, however large, and nothing that ends either side."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from fastjobs.worker.control import ControlLine

#: Several times what the buffers of a socket pair take.
LARGE = ["a" * 100] * 20_000


@pytest.fixture
def line() -> Iterator[tuple[ControlLine, ControlLine]]:
    here, there = map(ControlLine, socket.socketpair())
    yield here, there
    here.close()
    there.close()


def test_a_message_larger_than_the_socket_takes_arrives_whole(line: tuple[ControlLine, ControlLine]) -> None:
    here, there = line
    here.send(cancel=LARGE)
    here.send(stop=1.0)
    assert here.unsent
    received = []
    for _ in range(1000):
        received += there.receive()
        here.flush()
    assert received == [{"cancel": LARGE}, {"stop": 1.0}]
    assert not here.unsent
    assert not here.closed


def test_what_is_no_message_is_passed_over(line: tuple[ControlLine, ControlLine]) -> None:
    """Fault A22."""
    here, there = line
    here.send(quiet=True)
    for foreign in (b"not JSON\n", b"\xff\x00\n", b"[1]\n", b"5\n", b"\n", b'{"cut": \n'):
        here._socket.send(foreign)
    here.send(stop=1.0)
    assert there.receive() == [{"quiet": True}, {"stop": 1.0}]


def test_the_end_of_the_line_is_noticed_by_both_sides(line: tuple[ControlLine, ControlLine]) -> None:
    here, there = line
    here.send(quiet=True)
    here.close()
    assert there.receive() == [{"quiet": True}]
    assert there.closed
    there.send(hello=LARGE)
    there.flush()
    assert not there.unsent
