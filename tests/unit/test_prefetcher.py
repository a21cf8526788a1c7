"""What a lease brings is read for the queue it came from."""

from __future__ import annotations

import pytest

from fastjobs._core import Chunk, ChunkWriter
from fastjobs.config import Config, QueueChoice
from fastjobs.registry import Hooks
from fastjobs.store.replies import Lease, LeasedSpan
from fastjobs.store.sealing import Keyring
from fastjobs.worker.leases import HeldLeases
from fastjobs.worker.process.around import Composer
from fastjobs.worker.process.hooks import HookCaller
from fastjobs.worker.process.prefetcher import Prefetcher
from tests.harness.jobs import Bench, make_bench

CONFIG = Config(signing_keys={"k": "A" * 43 + "="}, require_signed=True)


@pytest.fixture
def bench():
    with make_bench(slots=8) as made:
        yield made


def prefetcher_on(bench: Bench) -> tuple[Prefetcher, HeldLeases]:
    leases = HeldLeases(bench.board)
    queues = [QueueChoice(name, None) for name in ("one", "other")]
    composer = Composer({}, HookCaller(Hooks(), {}, None, "w"), 0, bench.backlog)
    made = Prefetcher(CONFIG, Keyring(CONFIG), bench.board, bench.backlog, composer, leases, queues, 100, "w")
    made.add_partitions(["one", "other"])
    return made, leases


def lease_of(fence: int, first: int, payload: bytes) -> Lease:
    return Lease(fence, 0, -1, [LeasedSpan(f"X~{first:03d}+2", 0, 0, 0, 4 if payload else 0, payload)])


def test_a_chunk_read_in_one_queue_is_not_taken_for_one_of_another(bench: Bench) -> None:
    prefetcher, leases = prefetcher_on(bench)
    writer = ChunkWriter()
    for number in range(4):
        writer.add(writer.entry("work"), (number,))
    packed = writer.finish(0)
    assert Chunk.decode(packed).n == 4
    sealed = Keyring(CONFIG).seal_chunk("one", "X", packed)

    prefetcher.accept("one", lease_of(1, 0, sealed))
    assert (prefetcher.held_chunks("one"), prefetcher.held_chunks("other")) == (["X"], [])
    prefetcher.accept("one", lease_of(2, 2, b""))
    assert bench.backlog.unstarted == 4

    prefetcher.accept("other", lease_of(3, 0, sealed))
    prefetcher.accept("other", lease_of(4, 2, b""))
    assert bench.backlog.unstarted == 4
    failed = {lease.fence: [outcome.state for outcome in lease.outcomes] for lease in leases}
    assert failed == {1: [], 2: [], 3: ["failed"] * 2, 4: ["failed"] * 2}
