"""A producer that goes on whatever happens, and knows of each number whether it was accepted."""

from __future__ import annotations

import threading
import time
from typing import Any

from fastjobs import EnqueueUnknown, NotEnqueued
from fastjobs.jobtypes import JobType
from tests.harness.waiting import wait_until

#: Between two calls, so that two processors also have time for servers and workers.
_PAUSE_S = 0.002


class Load:
    """Enqueues numbers, one call after the other, in a thread of its own.

    Args:
        job_type: takes a number.
        size: numbers per call; with several, `enqueue_many` is called.
    """

    def __init__(self, job_type: JobType[..., Any], size: int = 1) -> None:
        self._job_type = job_type
        self._size = size
        self._thread = threading.Thread(target=self._main)
        self._stopping = threading.Event()
        #: Numbers whose enqueue returned, raised that they certainly are not stored, or that nobody knows.
        self.accepted: list[int] = []
        self.refused: list[int] = []
        self.unknown: list[int] = []
        self.reasons: list[str] = []
        #: When calls returned, on the monotonic clock.
        self.returned_at: list[float] = []
        self.crash: BaseException | None = None

    def _main(self) -> None:
        first = 0
        try:
            while not self._stopping.is_set():
                self._call(list(range(first, first + self._size)))
                first += self._size
                time.sleep(_PAUSE_S)
        except BaseException as error:
            self.crash = error

    def _call(self, numbers: list[int]) -> None:
        try:
            if self._size == 1:
                self._job_type.enqueue(numbers[0])
            else:
                self._job_type.enqueue_many(numbers)
        except NotEnqueued as error:
            self.refused += numbers
            self.reasons.append(str(error))
        except EnqueueUnknown as error:
            self.unknown += numbers
            self.reasons.append(str(error))
        else:
            self.accepted += numbers
            self.returned_at.append(time.monotonic())

    def wait_for_more(self, calls: int = 20, timeout_s: float = 30.0) -> None:
        """Waits until so many further calls have returned."""
        wanted = len(self.returned_at) + calls
        try:
            wait_until(lambda: len(self.returned_at) >= wanted or self.crash, timeout_s, "more is accepted")
        except AssertionError as error:
            raise AssertionError(f"{error}; {len(self.reasons)} calls raised: {self.reasons[-3:]}") from None
        assert self.crash is None, repr(self.crash)

    def longest_gap_s(self) -> float:
        """The longest time during which nothing was accepted, in seconds."""
        return max(after - before for before, after in zip(self.returned_at, self.returned_at[1:], strict=False))

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "the producer hangs"
        assert self.crash is None, repr(self.crash)
