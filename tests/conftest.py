"""Fixtures for all tests: one server per run, one namespace per test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.harness.server import ServerProcess


@pytest.fixture(scope="session")
def server() -> Iterator[ServerProcess]:
    """A server shared by the tests that do not hurt it."""
    with ServerProcess() as process:
        yield process


@pytest.fixture
def namespace() -> str:
    """A namespace of its own for each test, in place of flushing the server."""
    return uuid.uuid4().hex[:12]
