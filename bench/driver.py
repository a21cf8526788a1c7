"""The program that runs under callgrind: the core alone, without server and client, on N reference jobs."""

from __future__ import annotations

import gc
import sys
import types
from pathlib import Path

import orjson

# The package's own __init__ imports all of fastjobs and redis-py: minutes under valgrind, which must not count.
_package = types.ModuleType("fastjobs")
_package.__path__ = [str(Path(__file__).parent.parent / "fastjobs")]
sys.modules["fastjobs"] = _package

from fastjobs._core import Backlog, Board, Chunk, ChunkWriter, LeasedJobs, boot_time_ns  # noqa: E402

CHUNK_JOBS, CHUNK_BYTES = 1000, 256 << 10


def items(number: int) -> list[dict[str, object]]:
    """Arguments of equal length, so that each job costs the same."""
    return [
        {"user_id": 100_000 + index, "email": f"user{100_000 + index}@example.com", "template": "welcome"}
        for index in range(number)
    ]


def encode(number: int) -> None:
    """Packs one chunk again and again, as `enqueue_many` does."""
    jobs = items(CHUNK_JOBS)
    writer = ChunkWriter()
    for _ in range(number // CHUNK_JOBS):
        pack(writer, jobs)


def pack(writer: ChunkWriter, jobs: list[dict[str, object]]) -> bytes:
    """Packs one chunk."""
    writer.fill(writer.entry("welcome"), iter(jobs), CHUNK_JOBS, CHUNK_BYTES)
    if writer.count != CHUNK_JOBS:
        raise RuntimeError(f"the chunk has {writer.count} jobs")
    return bytes(writer.finish(0))


def welcome(user_id: int, *, email: str, template: str) -> None:
    """The handler."""


def execute(number: int) -> None:
    """Decodes chunks and runs their jobs, as a worker's process does."""
    packed = pack(ChunkWriter(), items(CHUNK_JOBS))
    board = Board.create(1, 1)
    board.valid_until_ns = boot_time_ns() + 3600 * 10**9
    failures: list[object] = []
    backlog = Backlog(board, lambda *what: failures.append(what), -1)
    for round_number in range(number // CHUNK_JOBS):
        chunk = Chunk.decode(packed)
        slot = board.lease(round_number + 1, 0, [("chunk", chunk.n, 0, chunk.n, 0, 0)])
        backlog.push(LeasedJobs(chunk, [welcome], slot, 0, 0, chunk.n, None, None))
        if backlog.execute(0) != chunk.n or failures:
            raise RuntimeError(f"not all jobs ran: {failures[:1]}")
        board.finished_runs(slot, b"worker", False)
        board.free(slot)


def dump(number: int) -> None:
    """The partner of `encode`: only orjson on the arguments of each job."""
    jobs = items(CHUNK_JOBS)
    for _ in range(number // CHUNK_JOBS):
        for job in jobs:
            orjson.dumps([job])


def call(number: int) -> None:
    """The partner of `execute`: the bare loop of decoding and calling."""
    jobs = [orjson.dumps([job]) for job in items(CHUNK_JOBS)]
    for _ in range(number // CHUNK_JOBS):
        for job in jobs:
            arguments = orjson.loads(job)
            keywords = arguments.pop()
            welcome(*arguments, **keywords)


if __name__ == "__main__":
    # When the garbage collector runs depends on earlier allocations.
    gc.disable()
    {"encode": encode, "execute": execute, "dump": dump, "call": call}[sys.argv[1]](int(sys.argv[2]))
