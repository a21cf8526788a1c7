"""Runs jobs through codec, wire, board and execute loop, and looks whether memory comes back.

    python -m tests.memory.leaks [--jobs 10000000] [--leak]

Ends with 1 when, after a warm-up of a tenth, the process has grown by more than 4 MiB or by a tenth of a byte per job
(whichever is more), or the interpreter by more than 200 memory blocks or one per 5000 jobs: in the shortest run that is
less than one per chunk. --leak lets every tenth job keep what it was given: it has to be found.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import zlib
from array import array
from contextlib import suppress
from pathlib import Path

from fastjobs._core import (
    NOT_READY,
    Backlog,
    Board,
    Chunk,
    ChunkWriter,
    CommandBuffer,
    Ending,
    LeasedJobs,
    ReplyReader,
    boot_time_ns,
    new_id,
    pack_head,
)
from fastjobs.errors import ChunkError, PayloadError

CHUNK_JOBS = 500
#: Looks at memory in a run.
LOOKS = 100
MOST_BYTES, MOST_BYTES_PER_JOB = 4 << 20, 0.1
MOST_BLOCKS, MOST_BLOCKS_PER_JOB = 200, 1 / 5000
_PAGE = os.sysconf("SC_PAGE_SIZE")

kept: list[object] = []


def handler(number: int, *, text: str) -> None:
    if number % 7 == 0:
        raise ValueError(text)


def leaking_handler(number: int, *, text: str) -> None:
    if number % 10 == 0:
        kept.append(text + str(number))


class Round:
    """One chunk's way through the core, with everything that is used for it."""

    def __init__(self, leak: bool) -> None:
        self._handler = leaking_handler if leak else handler
        self._writer = ChunkWriter()
        self._commands = CommandBuffer()
        self._head = pack_head("EVALSHA", "0" * 40, 1, "key")
        self._reader = ReplyReader()
        self._board = Board.create(1, 2)
        self._raised = 0
        self._backlog = Backlog(self._board, self._note, -1)

    def _note(self, _: LeasedJobs, __: int, ending: Ending) -> None:
        assert isinstance(ending.exception, ValueError)
        self._raised += 1

    def run(self) -> None:
        blob = self._encode()
        chunk = Chunk.decode(self._send(blob))
        self._board.valid_until_ns = boot_time_ns() + 600 * 10**9
        slot = self._board.lease(1, 0, [(new_id(), chunk.n, 0, chunk.n, 0, 0)])
        self._backlog.push(LeasedJobs(chunk, [self._handler], slot, 0, 0, chunk.n, None, None))
        assert self._backlog.execute(0) == CHUNK_JOBS
        for *_, count, head, columns in self._board.finished_runs(slot, b"host:1", True):
            assert head
            assert len(columns) == 8 * count
        self._board.free(slot)
        self._refuse(blob)

    def _encode(self) -> bytes:
        entry = self._writer.entry("work", b'{"retries":3}')
        for number in range(CHUNK_JOBS):
            self._writer.add(entry, (number,), {"text": "some text of a job"})
        return self._writer.finish(1_700_000_000_000)

    def _send(self, blob: bytes) -> bytes:
        """Packs a call, and reads a reply that brings the chunk back."""
        self._commands.clear()
        self._commands.extend(self._head, (new_id(), CHUNK_JOBS, blob))
        assert blob in self._commands.tobytes()
        reply = b"*3\r\n:7\r\n$-1\r\n$%d\r\n%s\r\n-ERR no\r\n" % (len(blob), blob)
        half = len(reply) // 2
        self._reader.feed(reply[:half])
        assert self._reader.get() is NOT_READY
        self._reader.feed(reply[half:])
        (_, _, found), error = self._reader.get(), self._reader.get()
        assert error.message == "ERR no"
        return bytes(found)

    def _refuse(self, blob: bytes) -> None:
        """What fails has to give its memory back as well."""
        for rest in (blob[8:-1], blob[8:30], b"\xff\xff" + blob[10:], b"\x07\x00" + blob[10:]):
            with suppress(ChunkError):
                Chunk.decode(blob[:4] + zlib.crc32(rest).to_bytes(4, "little") + rest)
                raise AssertionError("a damaged chunk was read")
        with suppress(PayloadError):
            self._writer.add(self._writer.entry("work"), (object(),))
            raise AssertionError("an object was taken for an argument")
        self._writer.clear()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def measure(jobs: int, leak: bool) -> tuple[array[int], array[int]]:
    """Resident bytes, and blocks of the interpreter, at each look; kept where no look costs a block."""
    resident, blocks = array("q", bytes(8 * 2 * LOOKS)), array("q", bytes(8 * 2 * LOOKS))
    looks = 0
    one = Round(leak)
    rounds = jobs // CHUNK_JOBS
    for number in range(1, rounds + 1):
        one.run()
        if number % max(1, rounds // LOOKS) == 0:
            gc.collect()
            resident[looks], blocks[looks] = resident_bytes(), sys.getallocatedblocks()
            looks += 1
    return resident[:looks], blocks[:looks]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000_000)
    parser.add_argument("--leak", action="store_true")
    options = parser.parse_args()
    resident, blocks_at = measure(options.jobs, options.leak)
    warm = len(resident) // 10
    jobs = options.jobs * 9 // 10
    grown = resident[-1] - resident[warm]
    blocks = blocks_at[-1] - blocks_at[warm]
    print(f"{jobs:,} jobs after the warm-up: {grown:,} bytes resident and {blocks:,} blocks more")
    leaks = grown > max(MOST_BYTES, MOST_BYTES_PER_JOB * jobs) or blocks > max(MOST_BLOCKS, MOST_BLOCKS_PER_JOB * jobs)
    if leaks:
        print("memory does not come back", file=sys.stderr)
    return int(leaks)


if __name__ == "__main__":
    sys.exit(main())
