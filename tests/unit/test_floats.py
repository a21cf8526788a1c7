"""Floats are stored as `json` writes them: the shortest digits that read back as the same double.

FASTJOBS_TEST_FLOATS sets how many random floats are tried.
"""

from __future__ import annotations

import json
import math
import os
import random
import struct
from collections.abc import Iterator

import pytest

from fastjobs._core import Chunk, ChunkWriter
from fastjobs.errors import PayloadError

NUMBER = int(os.environ.get("FASTJOBS_TEST_FLOATS", "60000"))
SEED = 14
BATCH = 1000


def stored(floats: list[float]) -> bytes:
    writer = ChunkWriter()
    writer.add(writer.entry("mail"), (floats,))
    return Chunk.decode(writer.finish(0)).payload(0)


def check(floats: list[float]) -> None:
    """Compares with `json`; the texts are compared at once, and one by one only to name what differs."""
    if stored(floats) != json.dumps([floats, {}], separators=(",", ":")).encode():
        for value in floats:
            assert stored([value]) == b"[[%s],{}]" % repr(value).encode()


def around(value: float) -> Iterator[float]:
    """A float, its neighbours, and the same with the other sign."""
    for near in (value, math.nextafter(value, 0), math.nextafter(value, math.inf)):
        if math.isfinite(near):
            yield from (near, -near)


def any_bits(chance: random.Random) -> float:
    return struct.unpack("d", chance.randbytes(8))[0]


def decimal(chance: random.Random) -> float:
    return float(f"{chance.randrange(10 ** chance.randrange(1, 18))}e{chance.randrange(-340, 292)}")


def price(chance: random.Random) -> float:
    return round(chance.uniform(-1e6, 1e6), chance.randrange(8))


def whole(chance: random.Random) -> float:
    return float(chance.getrandbits(chance.randrange(1, 70)))


@pytest.mark.parametrize("make", [any_bits, decimal, price, whole])
def test_random_floats_are_stored_as_json_writes_them(make):
    chance = random.Random(SEED)
    for _ in range(max(1, NUMBER // 4 // BATCH)):
        check([value for value in (make(chance) for _ in range(BATCH)) if math.isfinite(value)])


def test_powers_of_two_and_their_neighbours_are_stored_as_json_writes_them():
    check([near for power in range(-1074, 1024) for near in around(2.0**power)])


def test_powers_of_ten_and_their_neighbours_are_stored_as_json_writes_them():
    check([near for power in range(-323, 309) for near in around(float(f"1e{power}"))])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, b"0.0"),
        (-0.0, b"-0.0"),
        (1.0, b"1.0"),
        (100.0, b"100.0"),
        (0.1 + 0.2, b"0.30000000000000004"),
        (0.0001, b"0.0001"),
        (0.00001, b"1e-05"),
        (0.000012345, b"1.2345e-05"),
        (1e15, b"1000000000000000.0"),
        (9999999999999998.0, b"9999999999999998.0"),
        (1e16, b"1e+16"),
        (12345678901234567.0, b"1.2345678901234568e+16"),
        (1e23, b"1e+23"),
        (5e-324, b"5e-324"),
        (2.225073858507201e-308, b"2.225073858507201e-308"),
        (-1.7976931348623157e308, b"-1.7976931348623157e+308"),
    ],
)
def test_a_float_has_the_text_of_its_repr(value, text):
    assert stored([value]) == b"[[%s],{}]" % text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(value):
    with pytest.raises(PayloadError, match="NaN and infinity cannot be stored"):
        stored([1.5, value])
