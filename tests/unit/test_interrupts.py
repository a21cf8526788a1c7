"""Interrupts hit the job they are meant for, while its handler runs, or nothing at all."""

from __future__ import annotations

import functools
import gc
import hashlib
import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fastjobs._core import Backlog, Board, Chunk, ChunkWriter, Ending, EndingKind, LeasedJobs, boot_time_ns
from fastjobs.errors import JobCancelled, JobTimeout
from fastjobs.worker.process.interrupter import Interrupter
from tests.harness.waiting import wait_until

THREADS = 2


class Bench:
    """A backlog with threads, and what became of its jobs.

    Args:
        before: hook of all job types.
        after: likewise.
    """

    def __init__(self, before: Any = None, after: Any = None) -> None:
        self.board = Board.create(THREADS, 4)
        self.board.valid_until_ns = boot_time_ns() + 3600 * 10**9
        self._notify_fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.backlog = Backlog(self.board, self.on_ending, self._notify_fd)
        self._before, self._after = before, after
        #: What came out of the handlers of jobs that did not simply finish, and how their runs ended.
        self.unusual: dict[int, BaseException | None] = {}
        self.kinds: dict[int, EndingKind] = {}
        self.escaped: list[BaseException] = []
        self.interrupter = Interrupter(self.backlog.seats, 0.2)
        self._threads: list[threading.Thread] = []

    def on_ending(self, jobs: LeasedJobs, index: int, ending: Ending) -> object:
        # Python code, long enough to be hit by what is raised too late.
        for _ in range(20):
            (ending,) = (ending,)
        self.unusual[index] = ending.exception
        self.kinds[index] = ending.kind
        return ending.exception

    def push(
        self, *handlers: Callable[..., Any], n: int = 1, args: Any = (), limits: Any = None, owner: Any = None
    ) -> LeasedJobs:
        """Adds jobs that are, by turns, of the handlers' types; they get `args`, or their index."""
        writer = ChunkWriter(1 << 20, 1024)
        for index in range(n):
            entry = writer.entry(f"type-{index % len(handlers)}", b"")
            writer.add(entry, args or (index,), None)
        slot = self.board.lease(1, 0, [("c", n, 0, n, 0, 0)])
        before, after = ([hook] * len(handlers) if hook else None for hook in (self._before, self._after))
        chunk = Chunk.decode(writer.finish(1))
        jobs = LeasedJobs(chunk, list(handlers), slot, 0, 0, n, None, owner, limits, before, after)
        self.backlog.push(jobs)
        return jobs

    def start(self, threads: int = THREADS) -> None:
        def main(number: int) -> None:
            try:
                self.backlog.execute(number)
            except BaseException as error:
                self.escaped.append(error)

        self._threads = [threading.Thread(target=main, args=(number,)) for number in range(threads)]
        for thread in self._threads:
            thread.start()
        threading.Thread(target=self._pursue).start()

    def _pursue(self) -> None:
        """What the main loop of a process does."""
        while any(thread.is_alive() for thread in self._threads):
            self.interrupter.pursue()
            time.sleep(0.005)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()
        assert self.escaped == []

    def interrupt(self, column: int, exception: type[BaseException]) -> bool:
        running = self.backlog.seats.running(0, column)
        return running is not None and self.interrupter.interrupt(running[0], exception, running[1])

    def close(self) -> None:
        os.close(self._notify_fd)
        os.close(self.board.fd)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def spin(rounds: int) -> int:
    total = 0
    for number in range(rounds):
        total += number
    return total


@pytest.fixture
def _no_collections() -> Iterator[None]:
    """Python drops an exception that comes up in a callback of the collector, and test tools have such callbacks."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_collections")
@pytest.mark.parametrize("seed", range(5))
def test_random_interrupts_never_hit_a_neighbour_the_loop_or_an_outcome(bench: Bench, seed: int) -> None:
    jobs = 1000
    started: list[int] = []
    seen: dict[int, type[BaseException]] = {}
    asked: dict[int, set[type[BaseException]]] = {}
    chance = random.Random(seed)

    def handler(index: int) -> object:
        started.append(index)
        try:
            match index // 2 % 5:
                case 0:
                    spin(300)
                case 1:
                    sum(range(3000))
                case 2:
                    try:
                        spin(500)
                    finally:
                        spin(100)
                case 3:
                    time.sleep(0.0001)
                    spin(10)
                case 4:
                    spin(100)
                    raise ValueError(index)
        except (JobTimeout, JobCancelled) as error:
            seen[index] = type(error)
            if index % 3:
                raise
        return [object() for _ in range(20)]

    # Never comes back to Python, so what is raised in it is still to come when it ends.
    in_c = functools.partial(hashlib.pbkdf2_hmac, "sha1", b"password", b"salt")

    bench.push(handler, in_c, n=jobs)
    bench.start()
    while len(bench.board.running()) or bench.backlog.unstarted:
        for _, _, index, _ in bench.board.running():
            exception = chance.choice((JobTimeout, JobCancelled))
            if bench.interrupt(index, exception):
                asked.setdefault(index, set()).add(exception)
        time.sleep(chance.random() * 0.0005)
    bench.join()

    in_python = list(range(0, jobs, 2))
    assert sorted({*started, *(index for index in bench.unusual if index % 2 == 0)}) == in_python
    assert len(started) == len(set(started))
    assert len(asked) > 20
    assert seen
    for index, exception in seen.items():
        assert exception in asked[index]
    for index, raised in bench.unusual.items():
        if isinstance(raised, ValueError):
            assert index // 2 % 5 == 4
        else:
            assert type(raised) in asked[index], index
    assert bench.board.executed == jobs


def test_an_interrupt_that_comes_while_the_handler_is_in_c_is_taken_back_when_it_returns(bench: Bench) -> None:
    bench.push(time.sleep, args=(0.2,))
    bench.push(lambda index: spin(1000), n=5)
    bench.start(1)
    wait_until(lambda: bench.interrupt(0, JobCancelled), 10, "the job is interrupted")

    bench.join()

    # It finished before it could know, so it stays finished; and the jobs after it are not hit.
    assert bench.unusual == {}
    assert bench.board.executed == 6


def test_an_interrupt_for_a_job_that_has_ended_does_nothing(bench: Bench) -> None:
    seen: list[tuple[int, int]] = []
    proceed = threading.Event()

    def handler(index: int) -> None:
        seen.append(bench.backlog.seats.running(0, index))
        if index == 1:
            assert proceed.wait(10)
            spin(1000)

    bench.push(handler, n=2)
    bench.start(1)
    wait_until(lambda: len(seen) == 2, 10, "the second job runs")

    assert not bench.interrupter.interrupt(*seen[0][:1], JobCancelled, seen[0][1])
    proceed.set()
    bench.join()
    assert bench.unusual == {}


def test_a_cancelled_job_ends_as_cancelled_whatever_its_handler_raises_or_returns(bench: Bench) -> None:
    running = threading.Barrier(2)

    def handler(index: int) -> None:
        try:
            running.wait(10)
            while True:
                spin(100)
        except JobCancelled:
            if index == 0:
                raise ValueError("clean-up failed") from None

    bench.push(handler, n=2)
    bench.start(1)
    for index in range(2):
        running.wait(10)
        assert bench.interrupt(index, JobCancelled)
    bench.join()

    assert [type(bench.unusual[index]) for index in range(2)] == [JobCancelled, JobCancelled]
    assert isinstance(bench.unusual[0].__cause__, ValueError)


def test_a_handler_that_survives_its_timeout_and_returns_has_finished(bench: Bench) -> None:
    def handler(index: int) -> None:
        try:
            while True:
                spin(100)
        except JobTimeout:
            return

    bench.push(handler, n=1, limits=[(1_000_000, 0)])
    bench.start(1)
    wait_until(lambda: bench.interrupt(0, JobTimeout), 10, "the job is interrupted")
    bench.join()

    assert bench.unusual == {}


def test_except_exception_does_not_swallow_an_interrupt(bench: Bench) -> None:
    def handler(index: int) -> None:
        while True:
            try:
                spin(100)
            except Exception:
                continue

    bench.push(handler, n=1)
    bench.start(1)
    wait_until(lambda: bench.interrupt(0, JobTimeout), 10, "the job is interrupted")
    bench.join()

    assert isinstance(bench.unusual[0], JobTimeout)


def test_a_job_is_overdue_only_once_its_own_timeout_is_over(bench: Bench) -> None:
    def handler(index: int) -> None:
        while not bench.backlog.seats.overdue():
            time.sleep(0.001)
        seat, started_ns = bench.backlog.seats.overdue()[0]
        assert boot_time_ns() >= started_ns + 30_000_000
        bench.interrupter.interrupt(seat, JobTimeout, started_ns)
        while True:
            spin(10)

    bench.push(handler, n=2, limits=[(30_000_000, 0)])
    assert bench.backlog.seats.shortest_timeout_ns == 30_000_000
    bench.start(1)
    bench.join()

    assert [type(bench.unusual[index]) for index in range(2)] == [JobTimeout, JobTimeout]
    assert set(bench.kinds.values()) == {EndingKind.TIMED_OUT}
    assert bench.backlog.seats.overdue() == []
    assert bench.backlog.seats.next_deadline_ns() == 0


def test_what_a_handler_was_told_in_its_own_thread_is_not_raised_again(bench: Bench) -> None:
    told: list[object] = []

    def handler(index: int) -> None:
        seat, started_ns, _, _, own_index = bench.backlog.seats.current()
        assert own_index == index
        assert bench.backlog.seats.asked(seat, started_ns) is None
        while not told:
            if asked := bench.backlog.seats.asked(seat, started_ns):
                told.append(asked)
        assert bench.backlog.seats.overdue() == []
        assert not bench.interrupter.interrupt(seat, JobTimeout, started_ns)
        spin(1000)
        bench.interrupter.interrupt(seat, JobCancelled, started_ns)
        spin(1000)

    bench.push(handler, limits=[(5_000_000, 0)])
    bench.start(1)
    bench.join()

    assert told == [JobTimeout]
    assert isinstance(bench.unusual[0], JobCancelled)


def test_a_helper_thread_that_is_told_does_not_spare_the_handler(bench: Bench) -> None:
    told: list[object] = []

    def handler(index: int) -> None:
        seat, started_ns, *_ = bench.backlog.seats.current()

        def watch() -> None:
            assert bench.backlog.seats.current() is None
            while not told:
                if asked := bench.backlog.seats.asked(seat, started_ns):
                    told.append(asked)

        helper = threading.Thread(target=watch)
        helper.start()
        try:
            while True:
                spin(10)
        finally:
            helper.join()

    # Long enough for the helper to be there: else the handler is hit while it starts it, and nobody is told.
    bench.push(handler, limits=[(300_000_000, 0)])
    bench.start(1)
    bench.join()

    assert told == [JobTimeout]
    assert isinstance(bench.unusual[0], JobTimeout)


def test_the_board_tells_the_supervisor_about_overdue_jobs(bench: Bench) -> None:
    release = threading.Event()
    bench.push(lambda index: release.wait(10), n=2, limits=[(1_000_000, 0)])
    bench.start(2)
    wait_until(lambda: len(bench.board.overdue(0)) == 2, 10, "both jobs are overdue")

    overdue = bench.board.overdue(0)
    assert sorted(column for _, column, _ in overdue) == [0, 1]
    assert [started for _, _, started in overdue] == [bench.board.started_ns(0, column) for _, column, _ in overdue]
    assert bench.board.overdue(3600 * 10**9) == []
    release.set()
    bench.join()
    assert bench.board.overdue(0) == []


def test_an_expired_job_is_not_started_and_its_neighbours_are(bench: Bench) -> None:
    ran: list[int] = []
    bench.push(ran.append, n=3, limits=[(0, boot_time_ns() - 1)])
    bench.push(ran.append, n=2, limits=[(0, boot_time_ns() + 3600 * 10**9)])
    bench.start(1)
    bench.join()

    assert ran == [0, 1]
    assert bench.kinds == dict.fromkeys(range(3), EndingKind.EXPIRED)
    assert bench.board.executed == 2


def test_a_skipped_job_is_never_run_and_the_others_of_its_span_are(bench: Bench) -> None:
    ran: list[int] = []
    bench.push(ran.append, n=10, owner=bench)

    assert [bench.backlog.skip(bench, index) for index in (0, 4, 4, 9, 10)] == [True, True, False, True, False]
    assert not bench.backlog.skip(object(), 5)
    assert bench.backlog.unstarted == 7
    bench.start(1)
    bench.join()

    assert ran == [1, 2, 3, 5, 6, 7, 8]
    assert bench.backlog.unstarted == 0
    assert not bench.backlog.skip(bench, 5)


def test_withdrawing_leaves_skipped_jobs_out(bench: Bench) -> None:
    bench.push(print, n=6, owner=bench)
    bench.backlog.skip(bench, 2)

    assert [(first, count) for _, first, count in bench.backlog.withdraw()] == [(0, 2), (3, 3)]
    assert bench.backlog.unstarted == 0


def test_hooks_cannot_be_interrupted_and_see_what_the_run_came_to() -> None:
    calls: list[tuple[Any, ...]] = []
    endings: list[EndingKind] = []
    in_hook, proceed = threading.Event(), threading.Event()

    def after(jobs: LeasedJobs, index: int, ending: Ending, outcome: Any, started_ns: int, ended_ns: int) -> None:
        in_hook.set()
        assert proceed.wait(10)
        spin(1000)
        calls.append((index, type(outcome), ended_ns > started_ns))
        endings.append(ending.kind)

    def handler(index: int) -> None:
        if index:
            raise ValueError(index)

    bench = Bench(before=lambda jobs, index: calls.append(("before", index)), after=after)
    bench.push(handler, n=2)
    bench.start(1)
    assert in_hook.wait(10)
    assert not bench.interrupt(0, JobCancelled)
    proceed.set()
    bench.join()
    bench.close()

    assert calls == [("before", 0), (0, type(None), True), ("before", 1), (1, ValueError, True)]
    assert endings == [EndingKind.FINISHED, EndingKind.RAISED]


def test_an_after_hook_gets_what_the_handler_returned_and_nothing_is_kept() -> None:
    class Value:
        pass

    made: list[weakref.ref[Value]] = []
    seen: list[tuple[EndingKind, bool]] = []

    def after(jobs: LeasedJobs, index: int, ending: Ending, outcome: Any, started_ns: int, ended_ns: int) -> None:
        seen.append((ending.kind, ending.value is not None and ending.value is made[-1]()))

    def handler(index: int) -> Value | None:
        if index % 2:
            return None
        value = Value()
        made.append(weakref.ref(value))
        return value

    bench = Bench(after=after)
    bench.push(handler, n=4)
    bench.backlog.execute(0)
    bench.close()

    assert seen == [(EndingKind.RETURNED, True), (EndingKind.FINISHED, False)] * 2
    assert [ref() for ref in made] == [None, None]
    assert bench.kinds == {}


def test_a_job_cancelled_while_it_ran_reaches_the_after_hook_as_cancelled_whatever_it_returned() -> None:
    endings: list[Ending] = []

    def handler(index: int) -> object:
        seat, started_ns, *_ = bench.backlog.seats.current()
        assert bench.interrupter.interrupt(seat, JobCancelled, started_ns)
        try:
            while True:
                spin(10)
        except JobCancelled:
            return object()

    bench = Bench(after=lambda jobs, index, ending, *rest: endings.append(ending))
    bench.push(handler)
    bench.backlog.execute(0)
    bench.close()

    ((kind, exception, value),) = [(ending.kind, ending.exception, ending.value) for ending in endings]
    assert (kind, type(exception), value) == (EndingKind.CANCELLED, JobCancelled, None)


def test_hooks_are_called_for_the_types_that_have_them_only() -> None:
    calls: list[tuple[str, int]] = []
    bench = Bench()
    writer = ChunkWriter(1 << 20, 1024)
    for index in range(4):
        writer.add(writer.entry(f"type-{index % 2}", b""), (index,))
    slot = bench.board.lease(1, 0, [("c", 4, 0, 4, 0, 0)])
    jobs = LeasedJobs(
        Chunk.decode(writer.finish(1)),
        [spin, spin],
        *(slot, 0, 0, 4, None, None, None),
        before=[lambda jobs, index: calls.append(("before", index)), None],
        after=[None, lambda jobs, index, *rest: calls.append(("after", index))],
    )
    bench.backlog.push(jobs)
    bench.backlog.execute(0)
    bench.close()

    assert calls == [("before", 0), ("after", 1), ("before", 2), ("after", 3)]


def test_an_interrupt_during_a_hook_waits_at_the_door_of_the_handler() -> None:
    ran: list[int] = []

    def before(jobs: LeasedJobs, index: int) -> None:
        assert bench.interrupt(index, JobCancelled)
        spin(1000)

    bench = Bench(before=before)
    bench.push(ran.append, n=2)
    bench.start(1)
    bench.join()
    bench.close()

    assert ran == []
    assert [type(bench.unusual[index]) for index in range(2)] == [JobCancelled, JobCancelled]
