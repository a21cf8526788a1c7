"""Handlers are interrupted where it does no harm: no lock stays locked, and event loops cancel their tasks."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import logging
import queue
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from fastjobs._core import EndingKind
from fastjobs.errors import JobCancelled, JobTimeout
from tests.harness.waiting import wait_until
from tests.unit.test_interrupts import Bench

ROUNDS = 40


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()
    # asyncio logs what nobody has asked a task for when the task is collected.
    gc.collect()


def interrupt_often(bench: Bench, turn: Callable[[], object]) -> None:
    """Interrupts, at random, handlers that take turns in a hot loop."""
    turning = threading.Event()

    def handler(index: int) -> None:
        turning.set()
        while True:
            turn()

    chance = random.Random(1)
    bench.push(handler, n=ROUNDS)
    bench.start(1)
    for index in range(ROUNDS):
        assert turning.wait(10)
        turning.clear()
        time.sleep(chance.random() * 0.002)
        wait_until(lambda index=index: bench.interrupt(index, JobTimeout), 10, "the job is interrupted")
        wait_until(lambda index=index: index in bench.unusual, 10, "the job has ended")
    bench.join()
    assert {type(raised) for raised in bench.unusual.values()} == {JobTimeout}


def test_a_queue_in_a_hot_loop_is_never_left_locked(bench: Bench) -> None:
    items: queue.Queue[int] = queue.Queue()

    def turn() -> None:
        items.put(1)
        items.get()

    interrupt_often(bench, turn)
    assert not items.mutex.locked()


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("test.interrupted")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    yield logger
    logger.handlers.clear()


def test_logging_in_a_hot_loop_is_never_left_locked(bench: Bench, logger: logging.Logger) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)

    def turn() -> None:
        logger.info("line %d", 1)
        stream.seek(0)

    interrupt_often(bench, turn)
    assert handler.lock is not None and handler.lock.acquire(blocking=False)


def _with(lock: threading.Lock) -> None:
    with lock:
        sum(range(10))


def _try_finally(lock: threading.Lock) -> None:
    lock.acquire()
    try:
        sum(range(10))
    finally:
        sum(range(10))
        lock.release()


@contextlib.contextmanager
def _holding(lock: threading.Lock) -> Iterator[None]:
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _manager(lock: threading.Lock) -> None:
    with _holding(lock):
        sum(range(10))


class _Holder:
    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        self._lock.acquire()
        sum(range(10))

    def __exit__(self, *_: object) -> None:
        sum(range(10))
        self._lock.release()


def _class(lock: threading.Lock) -> None:
    with _Holder(lock):
        sum(range(10))


@pytest.mark.parametrize("turn", [_with, _try_finally, _manager, _class])
def test_a_lock_that_the_code_would_free_is_freed(bench: Bench, turn: Callable[[threading.Lock], None]) -> None:
    lock = threading.Lock()
    interrupt_often(bench, lambda: turn(lock))
    assert not lock.locked()


def test_a_loop_in_code_that_looks_like_cleaning_up_is_interrupted_after_a_while(bench: Bench) -> None:
    def handler(index: int) -> None:
        try:
            raise KeyError(index)
        except KeyError:
            while True:
                sum(range(10))

    bench.push(handler)
    bench.start(1)
    asked = time.monotonic()
    wait_until(lambda: bench.interrupt(0, JobTimeout), 10, "the job is interrupted")
    bench.join()
    assert isinstance(bench.unusual[0], JobTimeout)
    assert time.monotonic() - asked >= 0.2


def test_cleaning_up_is_spared_however_long_ago_an_earlier_job_of_the_thread_was_asked(bench: Bench) -> None:
    class Kept:
        """A watch that is still there when the next job of the thread runs."""

        on_line: Callable[[FrameType], bool] | None = None

        def watch(self, thread_id: int, frame: FrameType, on_line: Callable[[FrameType], bool]) -> None:
            self.on_line = self.on_line or on_line

    bench.interrupter._lines = kept = Kept()
    interrupted: list[bool] = []

    def handler(index: int) -> None:
        assert bench.interrupt(index, JobTimeout)
        assert kept.on_line is not None
        if index == 0:
            time.sleep(0.3)
            return
        try:
            raise KeyError(index)
        except KeyError:
            interrupted.append(kept.on_line(sys._getframe()))

    bench.push(handler, n=2)
    bench.start(1)
    bench.join()

    assert interrupted == [False]
    assert bench.unusual == {}


def test_code_that_is_spared_is_not_slowed_down_line_by_line(bench: Bench) -> None:
    lines, watched = 400_000, [0]
    on_line = bench.interrupter._on_line

    def counted(frame: FrameType) -> bool:
        watched[0] += 1
        return on_line(frame)

    bench.interrupter._on_line = counted  # type: ignore[method-assign]
    bench.interrupter._gentle_ns = 3600 * 10**9

    def handler(index: int) -> None:
        try:
            raise KeyError(index)
        except KeyError:
            assert bench.interrupt(index, JobTimeout)
            for _ in range(lines // 2):
                pass

    bench.push(handler)
    bench.start(1)
    bench.join()

    assert 0 < watched[0] < lines / 4


def _spared(bench: Bench, turn: Callable[[], object]) -> BaseException | None:
    """Repeats code that is spared for a while in a job that was asked to end; returns what the job ended with."""

    def handler(index: int) -> None:
        try:
            raise KeyError(index)
        except KeyError:
            while True:
                turn()

    bench.push(handler)
    bench.start(1)
    wait_until(lambda: bench.interrupt(0, JobTimeout), 10, "the job is interrupted")
    bench.join()
    return bench.unusual[0]


def test_a_handlers_own_trace_function_misses_nothing_while_its_job_is_interrupted(bench: Bench) -> None:
    calls, traced = [0], [0]

    def called() -> None:
        calls[0] += 1

    def tracer(frame: FrameType, event: str, argument: Any) -> None:
        traced[0] += frame.f_code is called.__code__

    def turn() -> None:
        if not calls[0]:
            sys.settrace(tracer)
        called()

    assert isinstance(_spared(bench, turn), JobTimeout)
    # It may have been interrupted between the call and the count.
    assert abs(calls[0] - traced[0]) <= 1


def test_a_handler_may_put_the_trace_function_that_it_finds_back(bench: Bench) -> None:
    found: list[object] = []

    def turn() -> None:
        tracer = sys.gettrace()
        sys.settrace(None)
        sys.settrace(tracer)
        sum(range(10))

    class After:
        def __call__(self, index: int) -> None:
            found.append(sys.gettrace())

    assert isinstance(_spared(bench, turn), JobTimeout)
    bench.push(After())
    bench.start(1)
    bench.join()
    assert found == [sys.gettrace()]


@pytest.mark.parametrize(
    ("exception", "kind"), [(JobTimeout, EndingKind.TIMED_OUT), (JobCancelled, EndingKind.CANCELLED)]
)
def test_an_await_is_interrupted_and_all_tasks_clean_up(
    bench: Bench, exception: type[BaseException], kind: EndingKind
) -> None:
    cleaned: list[str] = []
    began = threading.Event()

    async def background() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.append("background")

    async def main() -> None:
        tasks = [asyncio.create_task(background())]
        try:
            await asyncio.sleep(0.01)
            began.set()
            await asyncio.gather(asyncio.sleep(60), asyncio.sleep(60))
        finally:
            await asyncio.sleep(0)
            cleaned.append(f"main with {len(tasks)}")

    bench.push(lambda index: asyncio.run(main()))
    bench.start(1)
    assert began.wait(10)
    assert bench.interrupt(0, exception)
    bench.join()

    assert bench.kinds == {0: kind}
    assert type(bench.unusual[0]) is exception
    assert isinstance(bench.unusual[0].__cause__, asyncio.CancelledError)
    assert cleaned == ["main with 1", "background"]


@pytest.mark.parametrize("blocks", [False, True])
def test_a_busy_background_task_does_not_take_the_interruption(bench: Bench, blocks: bool) -> None:
    began = threading.Event()

    async def busy() -> None:
        began.set()
        while True:
            sum(range(100))
            if not blocks:
                await asyncio.sleep(0)

    async def main() -> None:
        tasks = [asyncio.create_task(busy())]
        await asyncio.sleep(60)
        assert tasks

    bench.push(lambda index: asyncio.run(main()))
    bench.start(1)
    assert began.wait(10)
    assert bench.interrupt(0, JobTimeout)
    bench.join()

    assert bench.kinds == {0: EndingKind.TIMED_OUT}


def test_a_coroutine_that_never_awaits_is_interrupted_like_any_code(bench: Bench) -> None:
    began = threading.Event()

    async def main() -> None:
        began.set()
        while True:
            sum(range(100))

    bench.push(lambda index: asyncio.run(main()))
    bench.start(1)
    assert began.wait(10)
    assert bench.interrupt(0, JobTimeout)
    bench.join()

    assert bench.kinds == {0: EndingKind.TIMED_OUT}


def test_a_coroutine_that_survives_its_cancellation_has_finished(bench: Bench) -> None:
    began = threading.Event()

    async def main() -> None:
        began.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)

    bench.push(lambda index: asyncio.run(main()))
    bench.start(1)
    assert began.wait(10)
    assert bench.interrupt(0, JobTimeout)
    bench.join()

    assert bench.unusual == {}
