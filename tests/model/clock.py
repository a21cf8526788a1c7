"""A test build of the scripts in which time is an input: they read their clock from a key the test sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis

from fastjobs.store import keyspace, scripts

#: The key that stands in for the server's clock, beside the queue's keys.
CLOCK_KEY = "test_clock"
#: What stands in for lib/clock.lua.
TEST_CLOCK = f"""
local function server_clock()
  local now_ms = tonumber(redis.call('GET', string.match(KEYS[1], '^(.*:)[%w_]+$') .. '{CLOCK_KEY}'))
  return now_ms, now_ms * 1000
end
"""


class TestClock:
    """The clock of one queue, in milliseconds since 1970."""

    __test__ = False

    def __init__(self, client: redis.Redis, prefix: bytes, now_ms: int = 1_000_000_000_000) -> None:
        self._client = client
        self._key = prefix + CLOCK_KEY.encode()
        self.now_ms = now_ms
        self.advance(0)

    def advance(self, by_ms: int) -> None:
        self.now_ms += by_ms
        self._client.set(self._key, self.now_ms)


def _unchanged(name: str, source: str) -> str:
    del name
    return source


@contextmanager
def timed_scripts(change: Callable[[str, str], str] = _unchanged) -> Iterator[None]:
    """While it is entered, scripts are loaded in their test build.

    Args:
        change: gets the name and text of each file before includes are put in place, returns its text.
    """
    with pytest.MonkeyPatch.context() as patch:
        plain = scripts._read
        patch.setattr(scripts, "_read", lambda name: TEST_CLOCK if name == "lib/clock" else change(name, plain(name)))
        scripts.load.cache_clear()
        try:
            yield
        finally:
            scripts.load.cache_clear()
    assert keyspace.load is scripts.load
