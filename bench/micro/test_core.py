"""The core: chunks, the wire, the execute loop, ids. Figures are per call; a chunk has a thousand jobs."""

from __future__ import annotations

from bench.driver import CHUNK_JOBS, items, pack, welcome
from fastjobs._core import (
    Backlog,
    Board,
    Chunk,
    ChunkWriter,
    CommandBuffer,
    LeasedJobs,
    ReplyReader,
    boot_time_ns,
    new_id,
    pack_head,
)


def test_encode_a_chunk(benchmark):
    writer, jobs = ChunkWriter(), items(CHUNK_JOBS)
    assert Chunk.decode(benchmark(pack, writer, jobs)).n == CHUNK_JOBS


def test_encode_a_chunk_uncompressed(benchmark):
    writer, jobs = ChunkWriter(compress_min=1 << 30), items(CHUNK_JOBS)
    assert Chunk.decode(benchmark(pack, writer, jobs)).n == CHUNK_JOBS


def test_encode_a_chunk_of_one(benchmark):
    writer, (job,) = ChunkWriter(), items(1)

    def encode():
        writer.add(writer.entry("welcome"), (), job)
        return writer.finish(0)

    assert Chunk.decode(benchmark(encode)).n == 1


def test_decode_a_chunk(benchmark, packed):
    assert benchmark(Chunk.decode, packed).n == CHUNK_JOBS


def test_pack_an_enqueue_command(benchmark, packed):
    head = pack_head("EVALSHA", "0" * 40, 6, *[f"{{fastjobs:default:default:0}}:{name}" for name in "abcdef"])
    buffer = CommandBuffer()

    def pack_command():
        buffer.clear()
        buffer.call(head, "0" * 22, CHUNK_JOBS, 0, 0, 0, 64, packed)
        return buffer.tobytes()

    assert packed in benchmark(pack_command)


def test_read_the_reply_to_a_fetch(benchmark, packed):
    span = b"*4\r\n$45\r\n%s\r\n$1\r\n0\r\n$-1\r\n$%d\r\n%s\r\n" % (b"0" * 45, len(packed), packed)
    reply = b"*5\r\n:7\r\n:1700000000000\r\n:-1\r\n" + span * 2
    reader = ReplyReader()

    def read():
        reader.feed(reply)
        return reader.get()

    assert benchmark(read)[4][3] == packed


def test_execute_a_chunk(benchmark, packed):
    chunk = Chunk.decode(packed)
    board = Board.create(1, 1)
    failures = []
    backlog = Backlog(board, lambda *what: failures.append(what), -1)

    def lease():
        board.valid_until_ns = boot_time_ns() + 60 * 10**9
        board.free(0)
        slot = board.lease(1, 0, [("chunk", chunk.n, 0, chunk.n, 0, 0)])
        backlog.push(LeasedJobs(chunk, [welcome], slot, 0, 0, chunk.n, None, None))

    ran = benchmark.pedantic(backlog.execute, args=(0,), setup=lease, rounds=200, warmup_rounds=10)
    assert ran == CHUNK_JOBS
    assert not failures


def test_collect_what_finished(benchmark, packed):
    chunk = Chunk.decode(packed)
    board = Board.create(1, 1)
    board.valid_until_ns = boot_time_ns() + 60 * 10**9
    backlog = Backlog(board, lambda *what: None, -1)
    slot = board.lease(1, 0, [("chunk", chunk.n, 0, chunk.n, 0, 0)])
    backlog.push(LeasedJobs(chunk, [welcome], slot, 0, 0, chunk.n, None, None))
    backlog.execute(0)
    ((*_, count, _, _),) = benchmark(board.finished_runs, slot, b"worker", True)
    assert count == CHUNK_JOBS


def test_make_an_id(benchmark):
    assert len(benchmark(new_id)) == 22
