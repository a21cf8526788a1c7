"""What clients ask of servers per second, by name: read from MONITOR, which tells clients' calls from scripts'."""

from __future__ import annotations

import re
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from bench.nodes import Nodes
from fastjobs.scripts import all_scripts
from tests.harness.cluster import TcpServer

_LINE = re.compile(rb'^\+\d+\.\d+ \[\d+ ([^\]]+)\] "([^"]*)"(?: "([^"]*)")?', re.MULTILINE)
_READ_SIZE = 1 << 20
_POLL_S = 0.2


def commands_per_s(nodes: Nodes, seconds: float) -> dict[str, float]:
    """Listens to all servers for so long; returns the calls of clients per second, scripts by their names.

    The servers do more than otherwise meanwhile: measure nothing else at the same time.
    """
    with ThreadPoolExecutor(len(nodes.servers)) as threads:
        heard = b"".join(threads.map(lambda server: _hear(server, seconds), nodes.servers))
    return {name: number / seconds for name, number in calls_of_clients(heard).items()}


def calls_of_clients(heard: bytes) -> Counter[str]:
    """Counts the calls in the output of MONITOR that no script made, by name."""
    scripts = {script.sha.encode(): script.name for script in all_scripts()}
    calls: Counter[str] = Counter()
    for source, command, first in _LINE.findall(heard):
        if source != b"lua":
            name = command.decode().lower()
            calls[scripts.get(first, "?") if name == "evalsha" else name] += 1
    return calls


def _hear(server: TcpServer, seconds: float) -> bytes:
    heard = bytearray()
    with socket.create_connection((server.host, server.port)) as connection:
        connection.settimeout(_POLL_S)
        connection.sendall(b"MONITOR\r\n")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                heard += connection.recv(_READ_SIZE)
            except TimeoutError:
                continue
    return bytes(heard)
