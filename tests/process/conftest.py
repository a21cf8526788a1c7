"""Fixtures for tests with real workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.server import ServerProcess
from tests.harness.worker import Lab


@pytest.fixture
def lab(server: ServerProcess, namespace: str, tmp_path: Path) -> Iterator[Lab]:
    made = Lab(server, namespace, tmp_path)
    yield made
    made.close()


@pytest.fixture
def own_server_lab(namespace: str, tmp_path: Path) -> Iterator[Lab]:
    """A lab whose server may be killed and frozen."""
    with ServerProcess() as process:
        made = Lab(process, namespace, tmp_path)
        yield made
        made.close()
