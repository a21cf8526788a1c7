"""Commands per second of clients, by name, read from MONITOR, which distinguishes calls of clients and of scripts."""

from __future__ import annotations

import re
import socket
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor

from bench.nodes import Nodes
from fastjobs.store.scripts import all_scripts
from tests.harness.tcp_server import TcpServer

_LINE = re.compile(rb'^\+(\d+\.\d+) \[\d+ ([^\]]+)\] "([^"]*)"(?: "([^"]*)")?', re.MULTILINE)
_READ_SIZE = 1 << 20
_POLL_S = 0.2


def commands_per_s(nodes: Nodes, seconds: float) -> dict[str, float]:
    """Listens to all servers for `seconds`; returns the calls of clients per second, scripts by their names.

    Listening costs the servers time: measure nothing else meanwhile.
    """
    total: defaultdict[str, float] = defaultdict(float)
    with ThreadPoolExecutor(len(nodes.servers)) as threads:
        for heard in threads.map(lambda server: _hear(server, seconds), nodes.servers):
            calls, heard_s = calls_of_clients(heard)
            # On a busy machine lines arrive late, and the last ones not at all: the time in the line counts.
            for name, number in calls.items():
                total[name] += number / heard_s
    return dict(total)


def calls_of_clients(heard: bytes) -> tuple[Counter[str], float]:
    """Counts the calls that no script made in the output of MONITOR, by name; also returns the seconds it covers."""
    scripts = {script.sha.encode(): script.name for script in all_scripts()}
    calls: Counter[str] = Counter()
    lines = _LINE.findall(heard)
    for _, source, command, first in lines:
        if source != b"lua":
            name = command.decode().lower()
            calls[scripts.get(first, "?") if name == "evalsha" else name] += 1
    return calls, float(lines[-1][0]) - float(lines[0][0]) if lines else 0.0


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
