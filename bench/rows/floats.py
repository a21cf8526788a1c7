"""Compares the time that the core takes for a float in the arguments with orjson's; needs no server."""

from __future__ import annotations

import random
import statistics
import time

import orjson

from bench.rows.row import Figure, Row
from fastjobs._core import ChunkWriter

_FLOATS = 1000
_TIMES = 200


class Floats(Row):
    """Lists of random floats, written in turns by the core and by orjson."""

    name = "floats"
    title = "a float in the arguments"
    figures = (
        Figure("own_ns", "ns"),
        Figure("orjson_ns", "ns"),
        Figure("vs_orjson", "x", at_most=2.0),
    )

    def prepare(self) -> None:
        chance = random.Random(1)
        self._floats = [chance.random() for _ in range(_FLOATS)]
        self._writer = ChunkWriter(compress_min=1 << 30)

    def measure(self, turn: int) -> dict[str, float]:
        own, other = [], []
        for _ in range(_TIMES):
            own.append(self._write_ns())
            begun_ns = time.perf_counter_ns()
            orjson.dumps(self._floats)
            other.append(time.perf_counter_ns() - begun_ns)
        own_ns, other_ns = statistics.median(own) / _FLOATS, statistics.median(other) / _FLOATS
        return {"own_ns": own_ns, "orjson_ns": other_ns, "vs_orjson": own_ns / other_ns}

    def _write_ns(self) -> int:
        entry = self._writer.entry("floats")
        begun_ns = time.perf_counter_ns()
        self._writer.add(entry, (self._floats,))
        taken_ns = time.perf_counter_ns() - begun_ns
        self._writer.finish(0)
        return taken_ns
