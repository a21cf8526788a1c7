"""A test build of the scripts in which time is an input: they read their clock from a key the test sets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from fastjobs import scripts, store

#: What stands in for lib/clock.lua: the test's own key, beside the queue's.
TEST_CLOCK = """
local function server_clock()
  local now_ms = tonumber(redis.call('GET', string.match(KEYS[1], '^(.*:)[%w_]+$') .. 'test_clock'))
  return now_ms, now_ms * 1000
end
"""


class TestClock:
    """The clock of one queue, in milliseconds since 1970."""

    __test__ = False

    def __init__(self, client: redis.Redis, prefix: bytes, now_ms: int = 1_000_000_000_000) -> None:
        self._client = client
        self._key = prefix + b"test_clock"
        self.now_ms = now_ms
        self.advance(0)

    def advance(self, by_ms: int) -> None:
        self.now_ms += by_ms
        self._client.set(self._key, self.now_ms)


@contextmanager
def timed_scripts() -> Iterator[None]:
    """While it is entered, scripts are loaded in their test build."""
    with pytest.MonkeyPatch.context() as patch:
        plain = scripts._read
        patch.setattr(scripts, "_read", lambda name: TEST_CLOCK if name == "lib/clock" else plain(name))
        scripts.load.cache_clear()
        try:
            yield
        finally:
            scripts.load.cache_clear()
    assert store.load is scripts.load
