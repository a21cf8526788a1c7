"""Damages what is stored of a queue: random and near-miss values in any field, member, score or list of names."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from typing import NamedTuple

from tests.harness.queue import QueueUnderTest

#: Fields of `stats` that are no counters: a layout stops every script, as it should, and a pause stops the queue.
_NOT_DAMAGED = {b"layout", b"paused"}
HASHES = ("chunks", "marks", "jobs", "leases", "finished", "recurring", "senders", "stats")
ZSETS = (
    "ready",
    "scheduled",
    "sessions",
    "failed",
    "cancelled",
    "cancelling",
    "finishing",
    "finished_log",
    "recurring_due",
)
_NUMBERS = (
    *(b"x", b"-1", b"0", b"1e400", b"nan", b"inf", b"-inf", b"0x10", b"1.5", b"99999999999999999999", b"", b"9" * 400),
    *(b"1001", b"18446744073709551615"),
)
_SCORES = ("inf", "-inf", "1.5", "-0.25", "1e30", "-1e30", "0", "-1", "9223372036854775808", "1e300", "-9e15")
_WORDS = re.compile(rb"[^ ,:~+\n]+")
#: JSON that is deep, of the wrong kind, or too large a number.
_BODIES = (
    *(b"", b"null", b"[]", b"{}", b'{"v":1}', b'{"v":"1"}', b'{"v":2}', b'{"v":null}', b"\xff", b'"', b"1e999"),
    *(b"[" * 2000 + b"]" * 2000, b'{"v":1,"x":' + b"[" * 900 + b"]" * 900 + b"}"),
)
_VALUES = (
    b"null",
    b"-1",
    b"1.5",
    b"18446744073709551615",
    b"1e300",
    b'"x"',
    b"[]",
    b"{}",
    b"true",
    b"[" * 300 + b"]" * 300,
)


class Damage(NamedTuple):
    """One change by hand, and whom it concerns."""

    key: str
    #: The field or member.
    name: bytes
    what: str

    def __str__(self) -> str:
        return f"{self.key} {self.name[:60]!r}: {self.what}"


def near_miss(rng: random.Random, text: bytes) -> bytes:
    """A value that is almost the one given."""
    ways: list[Callable[[], bytes]] = [
        lambda: text[: rng.randrange(len(text) + 1)],
        lambda: _flipped(rng, text),
        lambda: _word_doubled(rng, text),
        lambda: _number_replaced(rng, text),
        lambda: _number_replaced(rng, text),
        lambda: _number_replaced(rng, text),
        lambda: b"",
        lambda: rng.randbytes(rng.randrange(1, 40)),
        lambda: text + b"z" * 70_000,
        lambda: text.replace(rng.choice((b" ", b"~", b"+", b",", b":")), rng.choice((b"\t", b";", b"", b"  ")), 1),
        lambda: text.replace(b"\n", b" ", 1),
    ]
    return rng.choice(ways)()


def _flipped(rng: random.Random, text: bytes) -> bytes:
    if not text:
        return b"\x00"
    at = rng.randrange(min(len(text), 120))
    return text[:at] + bytes([text[at] ^ (1 << rng.randrange(8))]) + text[at + 1 :]


def _word_doubled(rng: random.Random, text: bytes) -> bytes:
    words = text.split(b" ")
    at = rng.randrange(min(len(words), 10))
    return b" ".join([*words[: at + 1], *words[at:]])


def _number_replaced(rng: random.Random, text: bytes) -> bytes:
    words = list(_WORDS.finditer(text[:200]))
    if not words:
        return rng.choice(_NUMBERS)
    word = rng.choice(words)
    return text[: word.start()] + rng.choice(_NUMBERS) + text[word.end() :]


def _odd_body(rng: random.Random, stored: bytes) -> bytes:
    """A record or definition with another body behind its line."""
    line, newline, body = stored.partition(b"\n")
    if rng.random() < 0.4:
        return line + newline + rng.choice(_BODIES)
    fields = list(re.finditer(rb'"\w+":("[^"]*"|-?[\d.]+|null|\[\]|\{\})', body))
    if not fields:
        return line + newline + rng.choice(_BODIES)
    value = rng.choice(fields)
    return line + newline + body[: value.start(1)] + rng.choice(_VALUES) + body[value.end(1) :]


def damage(rng: random.Random, queue: QueueUnderTest, spared: Callable[[bytes], bool] = lambda _: False) -> Damage:
    """Changes one thing of a queue by hand.

    Args:
        rng: decides what.
        queue: the queue.
        spared: says of a field or member, or of a value, whether it belongs to something that is to stay whole.
    """
    while True:
        key = rng.choice((*HASHES, *ZSETS))
        done = (_damage_hash if key in HASHES else _damage_zset)(rng, queue, key, spared)
        if done is not None:
            return done


def _damage_hash(rng: random.Random, queue: QueueUnderTest, key: str, spared: Callable[[bytes], bool]) -> Damage | None:
    name = getattr(queue.keys, key)
    found = sorted(
        (field, value)
        for field, value in queue.raw.hgetall(name).items()
        if not (key == "stats" and field in _NOT_DAMAGED)
        and not spared(field)
        and not (key == "leases" and spared(value))
    )
    if not found:
        return None
    field, value = rng.choice(found)
    how = rng.random()
    if how < 0.1:
        other = near_miss(rng, field)
        if key == "stats" and other in _NOT_DAMAGED:
            return None
        queue.raw.hset(name, other, value)
        return Damage(key, field, f"also as {other[:60]!r}")
    other = _odd_body(rng, value) if key in ("jobs", "recurring") and how < 0.4 else near_miss(rng, value)
    queue.raw.hset(name, field, other)
    return Damage(key, field, f"{value[:80]!r} -> {other[:80]!r}")


def _damage_zset(rng: random.Random, queue: QueueUnderTest, key: str, spared: Callable[[bytes], bool]) -> Damage | None:
    name = getattr(queue.keys, key)
    found = [pair for pair in queue.raw.zrange(name, 0, -1, withscores=True) if not spared(pair[0])]
    if not found:
        return None
    member, score = rng.choice(found)
    if rng.random() < 0.4:
        other_score = rng.choice(_SCORES)
        queue.raw.execute_command("ZADD", name, other_score, member)
        return Damage(key, member, f"score {score} -> {other_score}")
    other = near_miss(rng, member)
    if rng.random() < 0.7:
        queue.raw.zrem(name, member)
    queue.raw.zadd(name, {other: score})
    return Damage(key, member, f"-> {other[:80]!r}")


def fuzz_seconds(default: float) -> float:
    """How long a fuzz runs: `FASTJOBS_TEST_FUZZ_S`, else a default for continuous integration."""
    return float(os.environ.get("FASTJOBS_TEST_FUZZ_S", default))
