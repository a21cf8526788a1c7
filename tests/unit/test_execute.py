"""The execute loop: order, arguments, exceptions, stopping, and several threads at one backlog."""

from __future__ import annotations

import gc
import sys
import threading
import traceback
import tracemalloc
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import hypothesis.strategies as st
import pytest
from hypothesis import given

from fastjobs._core import (
    RUN_FINISHED,
    Backlog,
    Board,
    Chunk,
    ChunkWriter,
    Ending,
    EndingKind,
    LeasedJobs,
    Seats,
    boot_time_ns,
)
from fastjobs.errors import CorruptChunk, InternalError, PayloadError
from tests.harness import plain_codec
from tests.harness.jobs import ALWAYS, Bench, make_bench, make_chunk, numbered

UNSTARTED, HANDED_OVER = 0, 3


@pytest.fixture
def bench() -> Iterator[Bench]:
    with make_bench(seats=4) as made:
        yield made


def foreign_chunk(*payloads: bytes) -> Chunk:
    """A chunk with a right checksum and whatever payloads: not written by fastjobs."""
    return Chunk.decode(
        plain_codec.encode(plain_codec.PlainChunk([("a", b"")], [0] * len(payloads), list(payloads), 0))
    )


# Order and arguments.


def test_jobs_run_in_order_across_spans(bench):
    seen: list[tuple[str, int]] = []
    bench.lease(numbered(100), lambda number: seen.append(("first", number)), first=40, count=50)
    bench.lease(numbered(1), lambda number: seen.append(("second", number)))
    bench.lease(numbered(70), lambda number: seen.append(("third", number)))
    assert bench.backlog.unstarted == 121
    assert bench.backlog.execute(0) == 121
    assert seen == [
        *(("first", number) for number in range(40, 90)),
        ("second", 0),
        *(("third", number) for number in range(70)),
    ]
    assert (bench.backlog.unstarted, bench.backlog.executed, bench.board.executed) == (0, 121, 121)
    assert bench.unusual == []


def test_few_large_payloads_are_decoded_at_a_time(bench):
    chunk = make_chunk(*(("a", ([0.5] * 20_000,), {}) for _ in range(40)))
    seen: list[int] = []
    bench.lease(chunk, lambda numbers: seen.append(len(numbers)))
    tracemalloc.start()
    try:
        bench.backlog.execute(0)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seen == [20_000] * 40
    # The objects of one job take 640 kB, those of 32 jobs 20 MB.
    assert most < 8_000_000


@pytest.mark.parametrize("count", [1, 31, 32, 33, 64, 65, 1000])
def test_every_job_gets_its_own_arguments_whatever_the_window(bench, count):
    seen: list[int] = []
    jobs = bench.lease(numbered(count), seen.append)
    bench.backlog.execute(0)
    assert seen == list(range(count))
    assert bench.states(jobs) == [RUN_FINISHED] * count


@pytest.mark.parametrize(
    ("args", "keywords"),
    [((), {}), ((1,), {}), ((), {"a": 1}), ((1, "two", [3]), {"a": {"b": None}, "å": 2.5})],
)
def test_arguments_arrive_as_they_were_given(bench, args, keywords):
    seen = []
    bench.lease(make_chunk(("a", args, keywords)), lambda *a, **k: seen.append((a, k)))
    bench.backlog.execute(0)
    assert seen == [(args, keywords)]


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 9), max_size=20),
            st.dictionaries(
                st.sampled_from([*"abcdefgh", "é", "x" * 100, *(f"k{n}" for n in range(20))]), st.integers(0, 9)
            ),
        ),
        min_size=1,
        max_size=60,
    )
)
def test_keywords_reach_their_parameters_however_they_change_from_job_to_job(calls):
    seen = []
    with make_bench() as bench:
        chunk = make_chunk(*(("any", tuple(args), keywords) for args, keywords in calls))
        bench.lease(chunk, lambda *args, **keywords: seen.append((list(args), keywords)))
        bench.backlog.execute(0)
        assert bench.unusual == []
    assert seen == calls
    assert [list(keywords) for _, keywords in seen] == [list(keywords) for _, keywords in calls]


def test_keywords_go_to_parameters_of_any_kind_and_strangers_are_refused(bench):
    seen = []

    def handler(first, /, second, *rest, third, fourth=4, **others):
        seen.append((first, second, rest, third, fourth, others))

    bench.lease(
        make_chunk(
            ("any", (1,), {"second": 2, "third": 3}),
            ("any", (1,), {"second": 5, "third": 6}),
            ("any", (1, 2, 9), {"third": 3, "fourth": 0, "first": "other"}),
            ("any", (1,), {"third": 3}),
        ),
        handler,
    )
    bench.backlog.execute(0)
    assert seen == [(1, 2, (), 3, 4, {}), (1, 5, (), 6, 4, {}), (1, 2, (9,), 3, 0, {"first": "other"})]
    ((_, index, raised),) = bench.unusual
    assert index == 3
    assert isinstance(raised, TypeError)
    assert "second" in str(raised)


def test_each_type_has_its_handler(bench):
    seen = []
    chunk = make_chunk(("a", (1,), {}), ("b", (2,), {}), ("a", (3,), {}), ("b", (4,), {}))
    bench.lease(chunk, lambda n: seen.append(("a", n)), lambda n: seen.append(("b", n)), first=1)
    bench.backlog.execute(0)
    assert seen == [("b", 2), ("a", 3), ("b", 4)]


def test_a_detached_job_runs_with_its_own_arguments(bench):
    seen = []
    slot = bench.board.lease(1, 0, [("c~007", 0, 7, 1, 0, 0)])
    handler = lambda *a, **k: seen.append((a, k))  # noqa: E731
    bench.backlog.push(LeasedJobs(None, [handler], slot, 0, 7, 1, [1, 2, {"x": 3}], "owner"))
    assert bench.backlog.execute(0) == 1
    assert seen == [((1, 2), {"x": 3})]


def test_what_a_handler_does_to_its_arguments_stays_out_of_the_record(bench):
    payload = [["a"], {"x": {}}]

    def handler(items: list[str], x: dict[str, int]) -> None:
        items.clear()
        x["y"] = 1

    slot = bench.board.lease(1, 0, [("c~007", 0, 7, 1, 0, 0)])
    bench.backlog.push(LeasedJobs(None, [handler], slot, 0, 7, 1, payload, None))
    bench.backlog.execute(0)
    assert bench.unusual == []
    assert payload == [["a"], {"x": {}}]


def test_arguments_end_with_their_job(bench):
    class Witness:
        pass

    witnesses = []

    def handler(items: list[object]) -> None:
        assert all(witness() is None for witness in witnesses)
        witness = Witness()
        witnesses.append(weakref.ref(witness))
        items.append(witness)

    bench.lease(make_chunk(*(("a", ([],), {}) for _ in range(5))), handler)
    bench.backlog.execute(0)
    assert bench.unusual == []
    assert [witness() for witness in witnesses] == [None] * 5


def test_results_and_exceptions_are_not_kept(bench):
    class Result(Exception):
        pass

    made: list[weakref.ref[Result]] = []

    def handler(number: int) -> Result:
        result = Result()
        made.append(weakref.ref(result))
        if number % 2:
            raise result
        return result

    bench.lease(numbered(40), handler)
    bench.backlog.execute(0)
    assert len(bench.unusual) == 20
    bench.unusual.clear()
    gc.collect()
    assert [ref() for ref in made] == [None] * 40


# What does not simply finish.


async def coroutine() -> None: ...


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


class Awaitable:
    def __await__(self) -> Iterator[int]:
        return iter(())


class Misleading:
    """Raises when its class is looked at from Python."""

    @property
    def __class__(self):  # type: ignore[override]
        raise RuntimeError("no class")


# Coroutines that nobody awaits.
@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
@pytest.mark.parametrize("make", [coroutine, generator, async_generator, Awaitable])
def test_a_handler_that_returns_what_nothing_has_run_has_failed(bench, make):
    jobs = bench.lease(numbered(3), lambda number: make() if number == 1 else number)
    assert bench.backlog.execute(0) == 3
    assert bench.states(jobs) == [RUN_FINISHED, HANDED_OVER, RUN_FINISHED]
    ((_, index, error),) = bench.unusual
    assert (index, type(error)) == (1, TypeError)
    assert f"returned a {type(make()).__name__}, which nothing has run" in str(error)


@pytest.mark.parametrize(
    "make", [int, str, lambda: iter(()), lambda: map(len, ()), list, Misleading, lambda: coroutine]
)
def test_any_other_value_of_a_handler_is_as_good_as_none(bench, make):
    value = make()
    jobs = bench.lease(numbered(1), lambda number: value)
    held = sys.getrefcount(value)
    bench.backlog.execute(0)
    assert bench.states(jobs) == [RUN_FINISHED]
    assert sys.getrefcount(value) == held


@pytest.mark.parametrize(
    "raised",
    [ValueError("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), StopIteration()],
)
def test_whatever_a_handler_raises_is_handed_over_and_the_next_job_runs(bench, raised):
    def handler(number: int) -> None:
        if number == 1:
            raise raised

    jobs = bench.lease(numbered(3), handler)
    assert bench.backlog.execute(0) == 3
    assert bench.unusual == [(jobs, 1, raised)]
    assert bench.states(jobs) == [RUN_FINISHED, HANDED_OVER, RUN_FINISHED]
    assert bench.kinds == [EndingKind.RAISED]
    assert bench.board.executed == 3


def test_the_index_handed_over_is_the_one_in_the_chunk(bench):
    jobs = bench.lease(numbered(10), lambda number: 1 / (number - 8), first=5)
    bench.backlog.execute(0)
    ((found, index, raised),) = bench.unusual
    assert (found, index, found.owner) == (jobs, 8, "owner")
    assert isinstance(raised, ZeroDivisionError)


def test_tracebacks_lead_from_the_loop_to_the_handler(bench):
    def handler(number: int) -> None:
        raise TypeError(number)

    bench.lease(numbered(1), handler)
    bench.backlog.execute(0)
    trace = bench.unusual[0][2].__traceback__
    assert trace.tb_frame.f_code.co_filename.endswith("core/execute.pxi")
    assert trace.tb_next.tb_frame.f_code is handler.__code__
    assert trace.tb_next.tb_next is None


def test_frames_of_the_core_name_the_line_in_c_so_that_those_of_two_files_are_told_apart() -> None:
    """Cython keeps the code objects of frames by line number, for all included files together."""
    writer = ChunkWriter()
    with pytest.raises(PayloadError) as caught:
        writer.add(writer.entry("count"), (object(),))
    own = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__) if frame.filename.endswith(".pxi")]
    assert own
    assert all("fastjobs/_core.c:" in name for name in own)


def test_the_traceback_of_a_call_that_does_not_fit_ends_in_the_loop(bench):
    """So it can be told from a TypeError of the handler: running it again would not help."""
    bench.lease(numbered(1), lambda: None)
    bench.backlog.execute(0)
    ((_, _, raised),) = bench.unusual
    assert isinstance(raised, TypeError)
    assert raised.__traceback__.tb_frame.f_code.co_filename.endswith("core/execute.pxi")
    assert raised.__traceback__.tb_next is None


def test_an_unknown_type_is_handed_over_without_an_exception(bench):
    seen: list[int] = []
    chunk = make_chunk(("known", (0,), {}), ("unknown", (1,), {}), ("known", (2,), {}))
    jobs = bench.lease(chunk, seen.append, None)
    assert bench.backlog.execute(0) == 3
    assert seen == [0, 2]
    assert bench.unusual == [(jobs, 1, None)]
    assert bench.kinds == [EndingKind.UNKNOWN_TYPE]
    assert bench.states(jobs) == [RUN_FINISHED, HANDED_OVER, RUN_FINISHED]


@pytest.mark.parametrize(
    "bad",
    [
        b"{}",
        b"12",
        b"[]",
        b"[1]",
        b"[[]]",
        b"[{},1]",
        b"nonsense",
        b'["open',
        b"[1],[2]",
        b"[{}],[{}]",
        b"[}",
    ],
)
def test_a_job_that_cannot_be_decoded_does_not_take_its_neighbours_along(bench, bad):
    payloads = [b"[%d,{}]" % index for index in range(40)]
    payloads[20] = bad
    seen: list[int] = []
    jobs = bench.lease(foreign_chunk(*payloads), seen.append)
    assert bench.backlog.execute(0) == 40
    assert seen == [index for index in range(40) if index != 20]
    ((found, index, raised),) = bench.unusual
    assert (found, index) == (jobs, 20)
    assert isinstance(raised, CorruptChunk)


def test_payloads_that_are_json_only_together_are_refused(bench):
    bench.lease(foreign_chunk(b"[1", b"{}]"), lambda *_: pytest.fail("was called"))
    bench.backlog.execute(0)
    assert [index for _, index, _ in bench.unusual] == [0, 1]
    assert all(isinstance(raised, CorruptChunk) for *_, raised in bench.unusual)


@pytest.mark.parametrize("arguments", [[], [1], [None], [{}, []]])
def test_a_detached_job_with_impossible_arguments_is_handed_over(bench, arguments):
    slot = bench.board.lease(1, 0, [("c~007", 0, 7, 1, 0, 0)])
    bench.backlog.push(LeasedJobs(None, [print], slot, 0, 7, 1, arguments, None))
    bench.backlog.execute(0)
    assert isinstance(bench.unusual[0][2], CorruptChunk)


@pytest.mark.parametrize(
    ("chunk", "handlers", "first", "count", "arguments"),
    [
        ("two types", [print], 0, 1, None),
        ("two types", [print] * 3, 0, 1, None),
        ("two types", [print] * 2, 0, 3, None),
        ("two types", [print] * 2, -1, 1, None),
        ("two types", [print] * 2, 2, 1, None),
        ("two types", [print] * 2, 0, 0, None),
        ("two types", [print] * 2, 1, 2**31 - 1, None),
        (None, [print], 0, 1, None),
        (None, [], 0, 1, [{}]),
        (None, [print], 0, 2, [{}]),
        (None, None, 0, 1, [{}]),
    ],
)
def test_impossible_jobs_are_refused(chunk, handlers, first, count, arguments):
    if chunk:
        chunk = make_chunk(("a", (), {}), ("b", (), {}))
    with pytest.raises((ValueError, IndexError, TypeError)):
        LeasedJobs(chunk, handlers, 0, 0, first, count, arguments, None)


def test_nothing_is_made_half(bench):
    for kind in (LeasedJobs, Backlog, Board, Seats):
        with pytest.raises(TypeError):
            kind.__new__(kind)


@pytest.mark.parametrize("seat", [-1, 4, 2**31 - 1])
def test_seats_that_are_not_on_the_board_are_refused(bench, seat):
    bench.lease(numbered(1), print)
    with pytest.raises(IndexError):
        bench.backlog.execute(seat)
    assert bench.backlog.unstarted == 1


def test_an_ending_says_whether_the_run_finished_and_cannot_be_changed():
    finished = [kind for kind in EndingKind if Ending(kind).finished]
    assert finished == [EndingKind.FINISHED, EndingKind.RETURNED]
    ending = Ending(EndingKind.RETURNED, value=7)
    assert (ending.kind, ending.exception, ending.value) == (EndingKind.RETURNED, None, 7)
    assert repr(ending) == "<Ending RETURNED exception=None value=7>"
    with pytest.raises(AttributeError):
        ending.value = 8


@pytest.mark.parametrize("table", ["limits", "before", "after"])
def test_a_list_that_does_not_fit_the_handlers_is_refused(table):
    with pytest.raises(InternalError):
        LeasedJobs(make_chunk(("a", (), {})), [print], 0, 0, 0, 1, None, None, **{table: [None, None]})


def test_an_exception_of_the_callback_leaves_no_job_running(bench):
    def broken(*_: object) -> None:
        raise RuntimeError("must not happen")

    backlog = Backlog(bench.board, broken, bench.notify_fd)
    jobs = bench.lease(numbered(2), lambda _: 1 / 0)
    bench.backlog.withdraw()
    backlog.push(LeasedJobs(jobs.chunk, jobs.handlers, jobs.slot, 0, 0, 2, None, None))
    with pytest.raises(RuntimeError):
        backlog.execute(0)
    assert bench.board.running() == []
    assert bench.states(jobs) == [HANDED_OVER, UNSTARTED]
    assert backlog.unstarted == 1


# Stopping.


def test_stopping_ends_after_the_running_job(bench):
    jobs = bench.lease(numbered(5), lambda number: setattr(bench.backlog, "stopped", number == 1))
    assert bench.backlog.execute(0) == 2
    assert bench.backlog.execute(0) == 0
    assert bench.backlog.unstarted == 3
    bench.backlog.stopped = False
    assert bench.backlog.execute(0) == 3
    assert bench.states(jobs) == [RUN_FINISHED] * 5


def test_nothing_starts_once_the_lease_may_be_lost(bench):
    def expire(number: int) -> None:
        if number == 2:
            bench.board.valid_until_ns = boot_time_ns()

    jobs = bench.lease(numbered(5), expire)
    assert bench.backlog.execute(0) == 3
    assert bench.backlog.execute(0) == 0
    assert bench.states(jobs) == [RUN_FINISHED] * 3 + [UNSTARTED] * 2
    bench.board.valid_until_ns = ALWAYS
    assert bench.backlog.execute(0) == 2


def test_withdrawing_takes_back_what_was_not_started(bench):
    first = bench.lease(numbered(20), lambda number: setattr(bench.backlog, "stopped", number == 12), first=10)
    second = bench.lease(numbered(7), print)
    bench.backlog.execute(0)
    assert bench.backlog.withdraw() == [(first, 13, 7), (second, 0, 7)]
    assert bench.backlog.unstarted == 0
    assert bench.backlog.withdraw() == []
    bench.backlog.stopped = False
    assert bench.backlog.execute(0) == 0


def test_a_handler_may_withdraw_the_rest_of_its_own_span(bench):
    taken: list[object] = []
    jobs = bench.lease(numbered(5), lambda number: number == 1 and taken.extend(bench.backlog.withdraw()))
    assert bench.backlog.execute(0) == 2
    assert taken == [(jobs, 2, 3)]
    assert (bench.backlog.unstarted, bench.unusual) == (0, [])


def test_jobs_pushed_by_a_handler_run_in_the_same_call(bench):
    seen: list[int] = []
    bench.lease(numbered(1), lambda _: bench.lease(numbered(3), seen.append) and None)
    assert bench.backlog.execute(0) == 4
    assert seen == [0, 1, 2]


# Notifying.


def test_the_fetching_thread_is_woken_once_at_low_water(bench):
    noticed: list[tuple[int, bool]] = []
    bench.backlog.low_water = 3
    bench.backlog.waiting = True
    bench.lease(numbered(8), lambda number: noticed.append((number, bench.notified())))
    bench.backlog.execute(0)
    assert [number for number, notified in noticed if notified] == [4]
    assert bench.backlog.waiting is False


def test_nobody_is_woken_who_does_not_wait(bench):
    bench.backlog.low_water = 100
    bench.lease(numbered(8), print)
    bench.backlog.execute(0)
    bench.backlog.notify()
    assert not bench.notified()
    bench.backlog.waiting = True
    bench.backlog.notify()
    assert bench.notified()


def test_low_water_below_zero_never_wakes(bench):
    bench.backlog.low_water = -1
    bench.backlog.waiting = True
    bench.lease(numbered(8), lambda _: None)
    bench.backlog.execute(0)
    assert not bench.notified()
    assert bench.backlog.waiting


# Several threads.


def run_threads(bench: Bench, number: int) -> int:
    """Executes with several threads; returns the number of jobs they say they ran."""
    ran = [0] * number
    start = threading.Barrier(number)

    def main(seat: int) -> None:
        start.wait()
        while bench.backlog.unstarted:
            ran[seat] += bench.backlog.execute(seat)

    threads = [threading.Thread(target=main, args=(seat,)) for seat in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(ran)


@pytest.mark.usefixtures("eager_threads")
def test_several_threads_run_each_job_once_with_its_own_arguments(bench):
    seen: list[tuple[str, int]] = []

    def handler(name: str):
        def run(number: int) -> None:
            for _ in range(number % 7):
                pass
            seen.append((name, number))
            if number % 10 == 9:
                raise ValueError(number)

        return run

    leased = [bench.lease(numbered(500), handler(name)) for name in "abc"]
    assert run_threads(bench, 4) == 1500
    assert Counter(seen) == Counter((name, number) for name in "abc" for number in range(500))
    assert Counter((jobs.slot, index) for jobs, index, _ in bench.unusual) == Counter(
        (jobs.slot, number) for jobs in leased for number in range(9, 500, 10)
    )
    assert all(raised.args == (index,) for _, index, raised in bench.unusual)
    for jobs in leased:
        assert bench.states(jobs) == [HANDED_OVER if n % 10 == 9 else RUN_FINISHED for n in range(500)]
    assert (bench.backlog.executed, bench.board.executed, len(bench.unusual)) == (1500, 1500, 150)
    assert bench.board.running() == []


@pytest.mark.usefixtures("eager_threads")
def test_withdrawing_beside_running_threads_loses_and_doubles_nothing(bench):
    seen: Counter[int] = Counter()
    withdrawn: Counter[int] = Counter()
    lock = threading.Lock()
    done = threading.Event()

    def handler(number: int) -> None:
        with lock:
            seen[number] += 1

    def withdraw() -> None:
        while not done.is_set():
            for jobs, first, count in bench.backlog.withdraw():
                withdrawn.update(range(first, first + count))
                slot, column = jobs.slot, first - jobs.first
                if count > 1:
                    again = LeasedJobs(
                        jobs.chunk,
                        jobs.handlers,
                        slot,
                        column + 1,
                        first + 1,
                        count - 1,
                        None,
                        None,
                    )
                    withdrawn.subtract(range(first + 1, first + count))
                    bench.backlog.push(again)

    bench.lease(numbered(1000), handler)
    other = threading.Thread(target=withdraw)
    other.start()
    try:
        run_threads(bench, 3)
        while bench.backlog.unstarted:
            bench.backlog.execute(0)
    finally:
        done.set()
        other.join()
    while bench.backlog.unstarted:
        bench.backlog.execute(0)
    assert seen + withdrawn == Counter(range(1000))
    assert bench.unusual == []


def test_each_seat_shows_the_job_that_runs_on_it(bench):
    inside = threading.Barrier(3)

    def handler(number: int) -> None:
        inside.wait()
        inside.wait()

    bench.lease(numbered(2), handler)
    threads = [threading.Thread(target=bench.backlog.execute, args=(seat,)) for seat in (1, 3)]
    for thread in threads:
        thread.start()
    inside.wait()
    running = bench.board.running()
    inside.wait()
    for thread in threads:
        thread.join()
    assert sorted((ref, index) for ref, _, index, _ in running) == [("chunk", 0), ("chunk", 1)]
    assert bench.board.running() == []
