"""Fixtures for tests of the scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.harness.queue import QueueUnderTest
from tests.harness.server import ServerProcess

#: Makes a queue with settings of its own.
MakeQueue = Callable[..., QueueUnderTest]


@pytest.fixture
def make_queue(server: ServerProcess, namespace: str) -> Iterator[MakeQueue]:
    """Makes queues in the test's namespace; the invariants of each are checked when the test ends."""
    with ExitStack() as stack:

        def make(name: str = "default", **settings: Any) -> QueueUnderTest:
            queue = QueueUnderTest(server.url, namespace, name, **settings)
            stack.callback(queue.close)
            stack.callback(queue.snapshot)
            return queue

        yield make


@pytest.fixture
def queue(make_queue: MakeQueue) -> QueueUnderTest:
    """An empty queue."""
    return make_queue()
