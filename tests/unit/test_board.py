"""The progress board: leases noted and forgotten, progress seen through a second mapping."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator

import pytest

from fastjobs._core import (
    RUN_FINISHED,
    RUN_REPORTED,
    RUN_STARTED,
    Board,
    LeasedJobs,
    boot_time_ns,
)
from tests.harness.jobs import Bench, make_bench, make_chunk, numbered

UNSTARTED, HANDED_OVER = 0, 3
MAX_LEASE_JOBS, MAX_LEASE_SPANS = 2560, 256
OUTSIDE = [-1, 4, 2**31 - 1, -(2**31)]


@pytest.fixture
def bench() -> Iterator[Bench]:
    with make_bench() as made:
        yield made


@pytest.fixture
def board(bench: Bench) -> Board:
    return bench.board


def other_mapping(board: Board) -> Board:
    """What the supervisor sees of a child's board."""
    return Board(board.fd, board.seats, board.slots)


def ignore(*_: object) -> None:
    pass


def fail(*_: object) -> None:
    raise ValueError("no")


# Leases.


def test_a_new_board_holds_nothing(board):
    assert (board.seats, board.slots) == (1, 4)
    assert board.held() == []
    assert board.running() == []
    assert (board.executed, board.idle, board.beat_ns) == (0, False, 0)


def test_a_lease_takes_the_first_free_slot(board):
    span = [("a", 10, 0, 5, 0, 0)]
    assert [board.lease(fence, 1, span) for fence in (7, 8, 9, 10)] == [0, 1, 2, 3]
    assert board.lease(11, 1, span) == -1
    board.free(1)
    board.free(2)
    assert board.held() == [(0, 7, 1), (3, 10, 1)]
    assert board.lease(12, 0, span) == 1
    assert board.held() == [(0, 7, 1), (1, 12, 0), (3, 10, 1)]


def test_spans_are_laid_out_side_by_side(board):
    slot = board.lease(
        2**53,
        3,
        [("a", 1000, 990, 10, -5, 7), ("b~007", 0, 7, 1, 2**31 - 1, 2**53), ("c", 2, 0, 2, 0, 0)],
    )
    assert board.held() == [(slot, 2**53, 3)]
    assert board.spans(slot) == [
        ("a", 1000, 990, 0, -5, 7, bytes(10)),
        ("b~007", 0, 7, 10, 2**31 - 1, 2**53, bytes(1)),
        ("c", 2, 0, 11, 0, 0, bytes(2)),
    ]


def test_a_slot_begins_unstarted_again(bench):
    jobs = bench.lease(numbered(3), ignore)
    bench.backlog.execute(0)
    bench.board.free(jobs.slot)
    assert bench.states(bench.lease(numbered(3), ignore)) == [UNSTARTED] * 3


@pytest.mark.parametrize(
    ("spans", "fits"),
    [
        ([("a", 1000, 0, 1000, 0, 0)] * 2 + [("a", 1000, 0, 560, 0, 0)], True),
        ([("a", 1000, 0, 1000, 0, 0)] * 2 + [("a", 1000, 0, 561, 0, 0)], False),
        ([("a", 1, 0, 1, 0, 0)] * MAX_LEASE_SPANS, True),
        ([("a", 1, 0, 1, 0, 0)] * (MAX_LEASE_SPANS + 1), False),
        ([("a" * 136, 1, 0, 1, 0, 0)], True),
        ([("a" * 137, 1, 0, 1, 0, 0)], False),
        ([("å" * 68, 1, 0, 1, 0, 0)], True),
        ([("å" * 69, 1, 0, 1, 0, 0)], False),
        ([], True),
    ],
)
def test_a_lease_that_does_not_fit_is_not_noted(board, spans, fits):
    slot = board.lease(1, 0, spans)
    assert (slot >= 0) is fits
    assert len(board.held()) == fits
    if fits:
        assert [
            (ref, n, first, len(states), priority, keep_ms)
            for ref, n, first, _, priority, keep_ms, states in board.spans(slot)
        ] == spans


@pytest.mark.parametrize(
    ("fence", "spans", "error"),
    [
        (0, [("a", 1, 0, 1, 0, 0)], ValueError),
        (-1, [("a", 1, 0, 1, 0, 0)], ValueError),
        (1, [("a", 1, 0, 0, 0, 0)], ValueError),
        (1, [("a", 1000, 0, 2560, 0, 0), ("a", 1000, 0, 2560, 0, 0), ("a", 1, 0, -2560, 0, 0)], ValueError),
        (1, [("a", 1, -1, 1, 0, 0)], OverflowError),
        (1, [("a", 2**16, 0, 1, 0, 0)], OverflowError),
        (1, [("a", 1, 0, 1, 2**63, 0)], OverflowError),
        (1, [("a", 1, 0, 1, 0, 2**63)], OverflowError),
        (1, [(None, 1, 0, 1, 0, 0)], AttributeError),
        (1, [("a", 1, 0, 1, 0)], ValueError),
        (1, None, TypeError),
    ],
)
def test_an_impossible_lease_is_refused_and_not_noted(board, fence, spans, error):
    with pytest.raises(error):
        board.lease(fence, 0, spans)
    assert board.held() == []


@pytest.mark.parametrize("slot", OUTSIDE)
def test_slots_that_do_not_exist_are_an_index_error(bench, slot):
    board = bench.board
    for call in (
        lambda: board.free(slot),
        lambda: board.spans(slot),
        lambda: board.times(slot, 0),
        lambda: board.report(slot, 0),
        lambda: board.finished_runs(slot, b"w", False),
        lambda: bench.backlog.push(LeasedJobs(numbered(1), [ignore], slot, 0, 0, 1, None, None)),
    ):
        with pytest.raises(IndexError):
            call()


@pytest.mark.parametrize("column", [-1, MAX_LEASE_JOBS, 2**31 - 1])
def test_columns_that_do_not_exist_are_an_index_error(bench, column):
    for call in (
        lambda: bench.board.times(0, column),
        lambda: bench.board.report(0, column),
        lambda: bench.backlog.push(LeasedJobs(numbered(2), [ignore], 0, column, 0, 2, None, None)),
        lambda: bench.backlog.push(LeasedJobs(numbered(2), [ignore], 0, MAX_LEASE_JOBS - 1, 0, 2, None, None)),
    ):
        with pytest.raises(IndexError):
            call()
    assert bench.backlog.unstarted == 0


@pytest.mark.parametrize(("seats", "slots"), [(0, 1), (1, 0), (-1, 4), (4, -1)])
def test_a_board_without_seats_or_slots_is_refused(board, seats, slots):
    with pytest.raises(ValueError):
        Board(board.fd, seats, slots)


def test_a_mapping_larger_than_its_file_is_refused(board):
    with pytest.raises(ValueError):
        Board(board.fd, board.seats, board.slots + 1)


def test_a_board_is_full_when_all_seats_that_may_be_taken_are():
    with make_bench(seats=2) as bench:
        fullness = []
        for usable in (2, 1):
            bench.board.fetched(usable)
            bench.lease(numbered(1), lambda *args: fullness.append(bench.board.full))
            assert not bench.board.full
            bench.backlog.execute(0)
        assert fullness == [False, True]


# What others see.


def test_another_mapping_sees_what_is_noted(bench):
    seen = other_mapping(bench.board)
    jobs = bench.lease(numbered(2), ignore)
    assert seen.held() == bench.board.held() == [(jobs.slot, 1, 0)]
    bench.board.beat(123, True)
    assert seen.idle is True
    assert 0 < seen.beat_ns <= boot_time_ns()
    bench.board.fetched(1)
    assert 0 < seen.fetched_ns <= boot_time_ns()
    bench.backlog.execute(0)
    assert seen.executed == 2
    assert seen.spans(jobs.slot) == bench.board.spans(jobs.slot)
    seen.valid_until_ns = 77
    assert bench.board.valid_until_ns == 77


def test_running_jobs_are_seen_from_outside(bench):
    seen = other_mapping(bench.board)
    observed = []
    before = boot_time_ns()
    bench.lease(numbered(5), lambda number: observed.append(seen.running()), first=3)
    bench.backlog.execute(0)
    assert [[(ref, index) for ref, _, index, _ in running] for running in observed] == [
        [("chunk", 3)],
        [("chunk", 4)],
    ]
    assert all(before <= started <= boot_time_ns() for ((*_, started),) in observed)
    assert seen.running() == []


def test_what_a_killed_process_did_is_found_on_its_board(bench):
    def die_at_three(number: int) -> None:
        if number == 3:
            os._exit(9)

    jobs = bench.lease(numbered(6), die_at_three)
    child = os.fork()
    if child == 0:
        bench.backlog.execute(0)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert bench.states(jobs) == [RUN_FINISHED] * 3 + [RUN_STARTED] + [UNSTARTED] * 2
    assert [(ref, index) for ref, _, index, _ in bench.board.running()] == [("chunk", 3)]
    ((ref, n, first, count, _, _),) = bench.board.finished_runs(jobs.slot, b"w", True)
    assert (ref, n, first, count) == ("chunk", 6, 0, 3)


def test_a_scribbled_board_is_read_without_harm(bench):
    """A process that died of a wild pointer may have written anywhere."""
    bench.lease(numbered(3), ignore)
    size = Board.size(1, 4)
    for byte in (b"\xff", b"\x7f", b"\x01", b"\x80"):
        os.pwrite(bench.board.fd, byte * size, 0)
        bench.board.running()
        for slot, *_ in bench.board.held():
            bench.board.spans(slot)
            bench.board.finished_runs(slot, b"w", True)
            bench.board.times(slot, 0)


# Times.


def test_times_are_of_the_wall_clock(bench):
    def look(number: int) -> None:
        seen.append(bench.board.times(jobs.slot, number))

    offset_us = (time.time_ns() - boot_time_ns()) // 1000
    bench.board.beat(offset_us, False)
    seen: list[tuple[int, float]] = []
    before_ms = time.time_ns() // 1_000_000
    jobs = bench.lease(numbered(2), look)
    bench.backlog.execute(0)
    after_ms = time.time_ns() // 1_000_000
    for column in (0, 1):
        started_ms, so_far_s = seen[column]
        assert before_ms - 1 <= started_ms <= after_ms + 1
        final_ms, run_s = bench.board.times(jobs.slot, column)
        assert final_ms == started_ms
        # Run times are stored as float32, so-far times are not.
        assert 0 <= so_far_s <= run_s * 1.000001
        assert run_s <= (after_ms - before_ms + 2) / 1000


# Finished runs.


def test_finished_jobs_are_collected_in_runs(bench):
    def handler(number: int) -> None:
        if number in (2, 5):
            raise ValueError(number)
        if number == 7:
            bench.backlog.stopped = True

    jobs = bench.lease(numbered(10), handler)
    bench.backlog.execute(0)
    collected = bench.board.finished_runs(jobs.slot, b"worker-1", False)
    assert [run[:4] for run in collected] == [
        ("chunk", 10, 0, 2),
        ("chunk", 10, 3, 2),
        ("chunk", 10, 6, 2),
    ]
    assert all(len(columns) == 8 * count for _, _, _, count, _, columns in collected)
    assert bench.board.finished_runs(jobs.slot, b"worker-1", False) == []
    assert bench.board.finished_runs(jobs.slot, b"worker-1", True) == collected
    assert bench.states(jobs) == [
        RUN_REPORTED, RUN_REPORTED, HANDED_OVER, RUN_REPORTED, RUN_REPORTED, HANDED_OVER,
        RUN_REPORTED, RUN_REPORTED, UNSTARTED, UNSTARTED,
    ]  # fmt: skip


def test_later_jobs_are_collected_later(bench):
    jobs = bench.lease(numbered(4), lambda number: setattr(bench.backlog, "stopped", number == 1))
    bench.backlog.execute(0)
    ((_, _, first, count, _, _),) = bench.board.finished_runs(jobs.slot, b"w", False)
    assert (first, count) == (0, 2)
    bench.backlog.stopped = False
    bench.backlog.execute(0)
    ((_, _, first, count, _, _),) = bench.board.finished_runs(jobs.slot, b"w", False)
    assert (first, count) == (2, 2)
    assert [run[2:4] for run in bench.board.finished_runs(jobs.slot, b"w", True)] == [(0, 4)]


def test_columns_tell_when_jobs_ran_and_who_ran_them(bench):
    bench.board.beat(1_000_000, False)
    jobs = bench.lease(numbered(3), ignore)
    before = boot_time_ns()
    bench.backlog.execute(0)
    after = boot_time_ns()
    ((_, _, _, _, head, columns),) = bench.board.finished_runs(jobs.slot, b"w" * 300, False)
    started_us, size = struct.unpack_from("<qB", head)
    assert head[9:] == b"w" * size == b"w" * 255
    assert before // 1000 <= started_us - 1_000_000 <= after // 1000
    times = struct.unpack("<6f", columns)
    starts, runs = times[::2], times[1::2]
    assert starts[0] == 0
    assert list(starts) == sorted(starts)
    assert all(0 <= run_s <= (after - before) / 1e9 for run_s in runs)


def test_only_jobs_of_chunks_are_collected_and_detached_ones_reported_once(bench):
    board = bench.board
    slot = board.lease(1, 0, [("a", 2, 0, 2, 0, 0), ("b~003", 0, 3, 1, 0, 0)])
    bench.backlog.push(LeasedJobs(None, [ignore], slot, 2, 3, 1, [1, {}], None))
    assert board.report(slot, 2) is False
    bench.backlog.execute(0)
    assert board.finished_runs(slot, b"w", True) == []
    assert board.report(slot, 2) is True
    assert board.report(slot, 2) is False
    assert board.spans(slot)[1][-1] == bytes([RUN_REPORTED])


def test_a_job_that_outlives_its_lease_is_nothing_in_the_next_one(bench):
    """The slot of a lost lease is free while its last job is still being run."""
    chunk = make_chunk(("a", (), {}))
    leased: list[int] = []

    def outlive() -> None:
        bench.board.free(0)
        leased.append(bench.board.lease(99, 0, [("next", 1, 0, 1, 0, 0)]))

    bench.lease(chunk, outlive)
    assert bench.backlog.execute(0) == 1
    assert leased == [0]
    assert bench.board.spans(0) == [("next", 1, 0, 0, 0, 0, bytes([UNSTARTED]))]
    assert bench.board.finished_runs(0, b"w", True) == []


def test_a_job_that_raises_after_its_lease_is_nothing_in_the_next_one_of_another_queue(bench):
    def outlive(_: int) -> None:
        bench.board.free(0)
        bench.board.lease(1, 1, [("next", 1, 0, 1, 0, 0)])
        fail()

    bench.lease(numbered(1), outlive)
    bench.backlog.execute(0)
    assert bench.board.held() == [(0, 1, 1)]
    assert bench.board.spans(0)[0][-1] == bytes([UNSTARTED])
