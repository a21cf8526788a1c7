"""Fixtures of the small measurements: one server, and chunks of reference jobs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.driver import CHUNK_JOBS, items, pack
from bench.server import BenchServer, server_binary
from fastjobs._core import ChunkWriter


@pytest.fixture(scope="session")
def server() -> Iterator[BenchServer]:
    """A server like the embedded one."""
    with BenchServer(server_binary("valkey")) as process:
        yield process


@pytest.fixture(scope="session")
def packed() -> bytes:
    """A full chunk of reference jobs."""
    return pack(ChunkWriter(), items(CHUNK_JOBS))
