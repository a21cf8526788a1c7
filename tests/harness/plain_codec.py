"""A slow, obvious chunk codec, after the layout in `core/chunk.pxi`, to test the core against."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any

import zstandard


@dataclass
class PlainChunk:
    """A chunk taken apart; `entries` has one index into `types` per job."""

    types: list[tuple[str, bytes]]
    entries: list[int]
    payloads: list[bytes]
    created_at_ms: int


def payload(args: Any, keywords: dict[str, Any] | None = None) -> bytes:
    """A job's arguments as they are stored."""
    return json.dumps([*args, keywords or {}], ensure_ascii=False, separators=(",", ":")).encode()


def pack_body(chunk: PlainChunk) -> bytes:
    body = bytes([len(chunk.types)])
    for name, options in chunk.types:
        body += bytes([len(name)]) + name.encode("ascii") + _number(len(options), 2) + options
    if len(chunk.types) > 1:
        body += bytes(chunk.entries)
    if len(chunk.payloads) > 1:
        body += b"".join(_number(len(item), 4) for item in chunk.payloads)
    return body + b",".join(chunk.payloads)


def pack(
    body: bytes,
    number: int,
    created_at_ms: int = 0,
    *,
    compressed: bool = False,
    type_column: bool = False,
    version: int = 1,
    flags: int | None = None,
    raw_size: int | None = None,
) -> bytes:
    """Wraps any body in a header with a right checksum; the keywords allow wrong headers too."""
    stored = zstandard.ZstdCompressor().compress(body) if compressed else body
    if flags is None:
        flags = (1 if compressed else 0) + (2 if type_column else 0)
    size = len(body) if raw_size is None else raw_size
    rest = _number(number, 2) + _number(created_at_ms, 6) + _number(size, 4) + stored
    return b"FJ" + bytes([version, flags]) + _number(zlib.crc32(rest), 4) + rest


def encode(chunk: PlainChunk, *, compressed: bool = False) -> bytes:
    return pack(
        pack_body(chunk),
        len(chunk.payloads),
        chunk.created_at_ms,
        compressed=compressed,
        type_column=len(chunk.types) > 1,
    )


def decode(blob: bytes) -> PlainChunk:
    """Reads a chunk that is right; asserts what it can about it."""
    assert blob[:2] == b"FJ"
    version, flags = blob[2], blob[3]
    assert version == 1
    assert flags in (0, 1, 2, 3)
    assert int.from_bytes(blob[4:8], "little") == zlib.crc32(blob[8:])
    number = int.from_bytes(blob[8:10], "little")
    created_at_ms = int.from_bytes(blob[10:16], "little")
    body = blob[20:]
    if flags & 1:
        body = zstandard.ZstdDecompressor().decompress(body)
    assert int.from_bytes(blob[16:20], "little") == len(body)
    types, rest = _read_types(body)
    entries = [0] * number
    if flags & 2:
        entries, rest = list(rest[:number]), rest[number:]
    sizes = [len(rest)]
    if number > 1:
        sizes = [int.from_bytes(rest[4 * i : 4 * i + 4], "little") for i in range(number)]
        rest = rest[4 * number :]
    payloads = []
    for size in sizes:
        payloads.append(rest[:size])
        assert rest[size : size + 1] in (b",", b"")
        rest = rest[size + 1 :]
    assert rest == b""
    return PlainChunk(types, entries, payloads, created_at_ms)


def _read_types(body: bytes) -> tuple[list[tuple[str, bytes]], bytes]:
    number, rest = body[0], body[1:]
    types = []
    for _ in range(number):
        name, rest = rest[1 : 1 + rest[0]], rest[1 + rest[0] :]
        size = int.from_bytes(rest[:2], "little")
        types.append((name.decode("ascii"), rest[2 : 2 + size]))
        rest = rest[2 + size :]
    return types, rest


def _number(value: int, width: int) -> bytes:
    return value.to_bytes(width, "little")
