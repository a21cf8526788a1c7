"""Ids: what they look like, that they sort, that no two are the same."""

from __future__ import annotations

import itertools
import os
import string
import threading
import time

import pytest

from fastjobs._core import new_id

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
RANDOM_BITS = 80


def number_of(made: str) -> int:
    value = 0
    for digit in made:
        value = value * 62 + ALPHABET.index(digit)
    return value


def test_ids_have_22_characters_of_base_62_in_ascii_order():
    assert list(ALPHABET) == sorted(ALPHABET)
    for _ in range(1000):
        made = new_id()
        assert len(made) == 22
        assert set(made) <= set(ALPHABET)
        assert number_of(made) < 2**128


def test_ids_begin_with_the_time():
    before = time.time_ns() // 1_000_000
    made_at_ms = number_of(new_id()) >> RANDOM_BITS
    # The next id after a full millisecond can be a step ahead of the clock.
    assert before - 1 <= made_at_ms <= time.time_ns() // 1_000_000 + 1


def test_ids_sort_as_they_were_made():
    made = [new_id() for _ in range(20_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_ids_of_one_millisecond_cannot_be_guessed_from_each_other():
    numbers = [number_of(new_id()) for _ in range(2000)]
    steps = {after - before for before, after in itertools.pairwise(numbers)}
    assert len(steps) > 1900


@pytest.mark.usefixtures("eager_threads")
def test_ids_of_several_threads_are_unique_and_sorted_in_each():
    made: list[list[str]] = [[] for _ in range(4)]
    start = threading.Barrier(len(made))

    def make(ids: list[str]) -> None:
        start.wait()
        ids.extend(new_id() for _ in range(5000))

    threads = [threading.Thread(target=make, args=(ids,)) for ids in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(ids == sorted(ids) for ids in made)
    assert len({made_id for ids in made for made_id in ids}) == 20_000


def test_ids_of_forked_processes_are_unique():
    new_id()
    outputs = []
    for _ in range(3):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writing, " ".join(new_id() for _ in range(100)).encode())
            os._exit(0)
        os.close(writing)
        outputs.append((child, reading))
    made = [new_id() for _ in range(100)]
    for child, reading in outputs:
        with os.fdopen(reading, "rb") as pipe:
            made += pipe.read().decode().split()
        assert os.waitpid(child, 0)[1] == 0
    assert len(set(made)) == len(made) == 400
    # The children did not continue the parent's sequence: their random parts are far apart.
    parts = {number_of(made[index]) % 2**RANDOM_BITS >> 40 for index in (0, 100, 200, 300)}
    assert len(parts) == 4
