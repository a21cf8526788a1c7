"""What a lease brings is read for the queue it came from."""

from __future__ import annotations

from unittest.mock import create_autospec

import pytest

from fastjobs import FastJobs
from fastjobs._core import Chunk, ChunkWriter
from fastjobs.config import Config
from fastjobs.registry import Hooks
from fastjobs.store.replies import Lease, LeasedSpan
from fastjobs.store.sealing import Keyring
from fastjobs.worker.control import ControlLine
from fastjobs.worker.leases import HeldLeases
from fastjobs.worker.process.around import Composer
from fastjobs.worker.process.hooks import HookCaller
from fastjobs.worker.process.intake import Intake
from fastjobs.worker.process.interrupter import Interrupter
from fastjobs.worker.process.lifespan import Lifespan
from fastjobs.worker.process.quarantine import Quarantine
from fastjobs.worker.process.shutdown import Shutdown
from fastjobs.worker.process.sizing import Sizing
from fastjobs.worker.process.thread_executor import ThreadExecutor
from tests.harness.jobs import Bench, make_bench

KNOWN = FastJobs("unix:///nowhere")
KNOWN.job(name="work")(print)
CONFIG = Config(signing_keys={"k": "A" * 43 + "="}, require_signed=True)


@pytest.fixture
def bench():
    with make_bench(slots=8) as made:
        yield made


def shutdown_of(executor: ThreadExecutor, bench: Bench) -> Shutdown:
    return Shutdown(executor, bench.board.seats, create_autospec(ControlLine, instance=True))


def intake_on(bench: Bench) -> tuple[Intake, HeldLeases]:
    leases = HeldLeases(bench.board)
    executor = ThreadExecutor(bench.backlog, Interrupter(bench.backlog.seats, 1.0), bench.board.seats)
    quarantine = Quarantine(bench.backlog, executor, shutdown_of(executor, bench))
    composer = Composer(KNOWN._registry, HookCaller(Hooks(), {}, None, "w"), 0, bench.backlog)
    made = Intake(CONFIG, Keyring(CONFIG), bench.backlog, composer, leases, quarantine, "w")
    made.add_partitions(["one", "other"])
    return made, leases


def lease_of(fence: int, first: int, payload: bytes) -> Lease:
    return Lease(fence, 0, -1, [LeasedSpan(f"X~{first:03d}+2", 0, 0, 0, 0, 4 if payload else 0, payload)])


def test_a_chunk_read_in_one_queue_is_not_taken_for_one_of_another(bench: Bench) -> None:
    intake, leases = intake_on(bench)
    writer = ChunkWriter()
    for number in range(4):
        writer.add(writer.entry("work"), (number,))
    packed = writer.finish(0)
    assert Chunk.decode(packed).n == 4
    sealed = Keyring(CONFIG).seal_chunk("one", "X", packed)

    intake.accept("one", lease_of(1, 0, sealed))
    assert (intake.held_chunks("one"), intake.held_chunks("other")) == (["X"], [])
    intake.accept("one", lease_of(2, 2, b""))
    assert bench.backlog.unstarted == 4

    intake.accept("other", lease_of(3, 0, sealed))
    intake.accept("other", lease_of(4, 2, b""))
    assert bench.backlog.unstarted == 4
    failed = {lease.fence: [outcome.status for outcome in lease.outcomes] for lease in leases}
    assert failed == {1: [], 2: [], 3: ["failed"] * 2, 4: ["failed"] * 2}


def large_lease(fence: int, size: int) -> Lease:
    """A lease of half of a chunk of two jobs that takes so many bytes unpacked, and few packed."""
    writer = ChunkWriter(size)
    for _ in range(2):
        writer.add(writer.entry("work"), ("x" * (size // 2),))
    packed = Keyring(CONFIG).seal_chunk("one", f"X{fence}", writer.finish(0))
    assert len(packed) < 10_000
    return Lease(fence, 0, -1, [LeasedSpan(f"X{fence}~000+1", 0, 0, 0, 0, 2, packed)])


def test_decoded_chunks_are_kept_within_a_bound_of_their_unpacked_size(bench: Bench) -> None:
    intake, _ = intake_on(bench)
    for fence in range(1, 5):
        intake.accept("one", large_lease(fence, 6 << 20))
    assert intake.held_chunks("one") == ["X3", "X4"]
    intake.accept("one", large_lease(5, 20 << 20))
    assert intake.held_chunks("one") == ["X5"]


def test_a_process_that_holds_much_unpacked_leases_for_idle_seats_only(bench: Bench) -> None:
    intake, leases = intake_on(bench)
    executor = ThreadExecutor(bench.backlog, Interrupter(bench.backlog.seats, 1.0), 1)
    lifespan = Lifespan(0, bench.backlog, shutdown_of(executor, bench))
    sizing = Sizing(bench.board, bench.backlog, leases, executor, lifespan, 2000)
    intake.accept("one", large_lease(1, 20 << 20))
    assert sizing.want() > 1
    for fence in range(2, 5):
        intake.accept("one", large_lease(fence, 20 << 20))
    assert bench.backlog.unstarted == 4
    assert sizing.want() == 0
    executor.allowed = 6
    assert sizing.want() == 2
    for lease in leases:
        leases.settle(lease, 1)
    assert leases.size == 0


def mixed_lease(fence: int, types: str, rounds: int = 0) -> Lease:
    """A lease of a chunk whose jobs are of types named by a letter each; `w` is known here."""
    writer = ChunkWriter()
    for letter in types:
        writer.add(writer.entry("work" if letter == "w" else letter), (letter,))
    packed = Keyring(CONFIG).seal_chunk("one", f"X{fence}", writer.finish(0))
    return Lease(fence, 0, -1, [LeasedSpan(f"X{fence}~000+{len(types)}", 0, 0, 0, rounds, len(types), packed)])


def test_neighbours_of_unknown_types_are_put_off_together(bench: Bench) -> None:
    intake, _ = intake_on(bench)
    intake.accept("one", mixed_lease(1, "xyxywwzwxx"))
    assert [(item.first, item.count, item.unknown) for item in intake.put_off] == [
        (0, 4, True),
        (6, 1, True),
        (8, 2, True),
    ]
    assert [(first, count) for _, first, count in bench.backlog.withdraw()] == [(4, 2), (7, 1)]


def test_jobs_of_unknown_types_that_were_put_off_often_enough_leave_their_chunk(bench: Bench) -> None:
    intake, _ = intake_on(bench)
    intake.accept("one", mixed_lease(1, "xxx", rounds=19))
    intake.accept("one", mixed_lease(2, "xxx", rounds=20))
    assert [(item.first, item.count, item.unknown) for item in intake.put_off] == [(0, 3, True)]
    assert bench.backlog.unstarted == 3
