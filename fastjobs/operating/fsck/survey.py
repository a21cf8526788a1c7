"""Takes surveys: reads all that is stored of a partition at one instant, or while no job moves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fastjobs.operating.fsck.contents import HASHES, ZSETS, Contents
from fastjobs.server.backoff import Backoff
from fastjobs.store.store import Store

#: Up to so many entries and bytes a partition is read in one step: a few milliseconds of the server.
_SMALL_ENTRIES = 2_000
_SMALL_BYTES = 2 << 20
#: Entries and bytes per page of larger ones.
_PAGE_ENTRIES = 1_000
_PAGE_BYTES = 256 << 10
#: Entries of the first page of a key, which shows how large they are.
_FIRST_ENTRIES = 16
#: Seconds between two attempts to find a moment in which nothing moves; such moments are short.
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.001, 0.05
#: The order in which keys are read: a session that is closed meanwhile takes with it what it held.
_ORDER = ("stats", "sessions", "leases", *sorted({*HASHES, *ZSETS} - {"stats", "sessions", "leases"}))


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything that was stored at one instant.

    Attributes:
        contents: all keys.
        stillness: stays the same as long as no job moves.
        now_ms: the server's clock.
    """

    contents: Contents
    stillness: bytes
    now_ms: int


class Surveyor:
    """Reads one partition.

    Args:
        store: gives the calling thread's store.
        partition: which.
    """

    def __init__(self, store: Callable[[], Store], partition: str) -> None:
        self._store = store
        self._partition = partition

    def take(self, deadline: float) -> Survey | None:
        """Returns a survey; None when jobs moved all the time until the deadline (monotonic seconds)."""
        backoff = new_backoff()
        while True:
            survey = self._read_at_once() or self._read_in_pages()
            if survey is not None or time.monotonic() > deadline:
                return survey
            time.sleep(backoff.next_s())

    def _read_at_once(self) -> Survey | None:
        """Reads a small partition in one step; None when it is large."""
        batch = self._store().batch()
        now_ms, survey = batch.time_ms(), batch.survey(self._partition, _SMALL_ENTRIES, _SMALL_BYTES)
        batch.run()
        if survey.value.contents is None:
            return None
        contents = Contents()
        for name in (*HASHES, *ZSETS):
            contents.add(name, survey.value.contents[name])
        return Survey(contents, survey.value.stillness, now_ms.value)

    def _read_in_pages(self) -> Survey | None:
        """Reads key by key; None when a job moved meanwhile."""
        contents = Contents()
        first: bytes | None = None
        for name in _ORDER:
            for stillness, entries in self._pages(name):
                first = stillness if first is None else first
                if stillness != first:
                    return None
                contents.add(name, entries)
        # The last page may have been read after a job moved: the counters show it now.
        batch = self._store().batch()
        now_ms, last = batch.time_ms(), batch.survey_page(self._partition, "stats", b"0", 1)
        batch.run()
        return Survey(contents, first, now_ms.value) if first == last.value.stillness else None

    def _pages(self, name: str) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
        cursor, count = b"0", _FIRST_ENTRIES
        while True:
            page = self._store().batch().survey_page(self._partition, name, cursor, count)
            stillness, cursor, entries, size = page.run()
            yield stillness, entries
            if cursor == b"0":
                return
            # Entries differ in size: the next page has about as many bytes as a page should have.
            count = max(1, min(_PAGE_ENTRIES, 2 * count, count * _PAGE_BYTES // max(1, size)))


def new_backoff() -> Backoff:
    """Returns the waits between two attempts."""
    return Backoff(_FIRST_WAIT_S, _LONGEST_WAIT_S)
