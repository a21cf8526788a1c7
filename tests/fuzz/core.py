"""What is fuzzed: everything of the core that reads bytes it did not write. The first byte chooses.

Chunks get a right checksum, or the fuzzer would never see what is behind it. What is read is also compared with what
reading it in another way gives.
"""

from __future__ import annotations

import sys
import zlib

import atheris

from fastjobs._core import NOT_READY, Chunk, ReplyReader
from fastjobs.errors import ChunkError
from tests.harness import plain_codec

#: Bytes of a chunk before what its checksum covers, and of them before the checksum.
_CRC_START, _CRC_OFFSET = 8, 4


def read_chunk(blob: bytes) -> None:
    if len(blob) >= _CRC_START:
        checksum = zlib.crc32(blob[_CRC_START:]).to_bytes(4, "little")
        blob = blob[:_CRC_OFFSET] + checksum + blob[_CRC_START:]
    try:
        chunk = Chunk.decode(blob)
    except ChunkError:
        return
    payloads = [chunk.payload(index) for index in range(chunk.n)]
    assert chunk.payloads(0, chunk.n) == b"[" + b",".join(payloads) + b"]"
    plain = plain_codec.decode(blob)
    assert (payloads, chunk.types) == (plain.payloads, plain.types)
    assert [chunk.type_index(index) for index in range(chunk.n)] == plain.entries


def read_replies(data: bytes, step: int) -> list[str]:
    """All replies in the data, handed over in pieces, and how reading ended."""
    reader = ReplyReader()
    replies = []
    try:
        for at in range(0, len(data), step):
            reader.feed(data[at : at + step])
            while (reply := reader.get()) is not NOT_READY:
                replies.append(repr(reply))
    except ValueError:
        replies.append("broken")
    return replies


def read_in_two_ways(data: bytes) -> None:
    assert read_replies(data, 7) == read_replies(data, len(data) + 1)


def one_input(data: bytes) -> None:
    """Called by the fuzzer."""
    if data[:1] == b"c":
        read_chunk(data[1:])
    elif data[:1] == b"r":
        read_in_two_ways(data[1:])


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
