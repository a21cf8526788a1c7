"""What a lease brings is read for the queue it came from."""

from __future__ import annotations

import pytest

from fastjobs._core import Chunk, ChunkWriter
from fastjobs.config import Config
from fastjobs.registry import Hooks
from fastjobs.store.replies import Lease, LeasedSpan
from fastjobs.store.sealing import Keyring
from fastjobs.worker.leases import HeldLeases
from fastjobs.worker.process.around import Composer
from fastjobs.worker.process.hooks import HookCaller
from fastjobs.worker.process.intake import Intake
from fastjobs.worker.process.quarantine import Quarantine
from fastjobs.worker.process.shutdown import Shutdown
from fastjobs.worker.process.thread_executor import ThreadExecutor
from tests.harness.jobs import Bench, make_bench

CONFIG = Config(signing_keys={"k": "A" * 43 + "="}, require_signed=True)


@pytest.fixture
def bench():
    with make_bench(slots=8) as made:
        yield made


def intake_on(bench: Bench) -> tuple[Intake, HeldLeases]:
    leases = HeldLeases(bench.board)
    executor = ThreadExecutor(bench.backlog)
    quarantine = Quarantine(bench.backlog, executor, Shutdown(executor, bench.board.seats))
    composer = Composer({}, HookCaller(Hooks(), {}, None, "w"), 0, bench.backlog)
    made = Intake(CONFIG, Keyring(CONFIG), bench.backlog, composer, leases, quarantine, "w")
    made.add_partitions(["one", "other"])
    return made, leases


def lease_of(fence: int, first: int, payload: bytes) -> Lease:
    return Lease(fence, 0, -1, [LeasedSpan(f"X~{first:03d}+2", 0, 0, 0, 4 if payload else 0, payload)])


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
