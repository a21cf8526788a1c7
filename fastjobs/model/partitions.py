"""Which partition of its queue a job goes to, and is found in.

Partition 0 of a queue is written like the queue, partition 3 as `mail#3`: a queue of one partition looks
as if there were none. The ids of chunks in other partitions than 0 end in the number, `<id>.3`.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import defaultdict
from collections.abc import Callable

from fastjobs.model.names import is_key_part
from fastjobs.model.refs import RUN_PREFIX

#: Not allowed in names of queues.
_SEPARATOR = "#"
#: The number of a partition other than 0.
_NUMBER = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)
#: An id that `new_id` made, and the number of a partition other than 0.
_GENERATED = re.compile(r"[0-9A-Za-z]{22}(?:\.([1-9][0-9]{0,3}))?", re.ASCII)


def partition_name(queue: str, number: int) -> str:
    """Returns how a partition of a queue is written."""
    return f"{queue}{_SEPARATOR}{number}" if number else queue


def is_partition(text: str) -> bool:
    """Whether a text is how a partition is written."""
    queue, separator, number = text.partition(_SEPARATOR)
    return is_key_part(queue) and (not separator or _NUMBER.fullmatch(number) is not None)


def queue_of(partition: str) -> str:
    """Returns the queue a partition belongs to."""
    return partition.partition(_SEPARATOR)[0]


def number_of(partition: str) -> int:
    """Returns the number of a partition in its queue."""
    return int(partition.partition(_SEPARATOR)[2] or 0)


def partition_order(partition: str) -> tuple[str, int]:
    """Sorts partitions by queue and number."""
    return queue_of(partition), number_of(partition)


def chunk_id_in(chunk_id: str, number: int) -> str:
    """Returns a new chunk's id as it is in a partition."""
    return f"{chunk_id}.{number}" if number else chunk_id


def jump_hash(key: str, count: int) -> int:
    """Returns a number below `count`; when the count is raised, keys only move to the new numbers, evenly.

    Lamping and Veach, A Fast, Minimal Memory, Consistent Hash Algorithm (2014).
    """
    state = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")
    found, following = 0, 0
    while following < count:
        found = following
        state = (state * 2862933555777941757 + 1) & 0xFFFF_FFFF_FFFF_FFFF
        following = int((found + 1) * (2**31 / ((state >> 33) + 1)))
    return found


def earlier_places(key: str, count: int) -> list[int]:
    """Returns where a key is with `count` partitions, and where it was with fewer: about log(count) numbers."""
    places: list[int] = []
    for fewer in range(count, 0, -1):
        place = jump_hash(key, fewer)
        if place not in places:
            places.append(place)
    return places


class Partitioner:
    """Chooses partitions. Safe for use by several threads at once.

    Args:
        count_of: returns how many partitions a queue has.
    """

    def __init__(self, count_of: Callable[[str], int]) -> None:
        self._count_of = count_of
        self._turns: defaultdict[str, itertools.count[int]] = defaultdict(itertools.count)

    def next(self, queue: str) -> int:
        """Returns the partition whose turn it is: chunks go round."""
        count = self._count_of(queue)
        return next(self._turns[queue]) % count if count > 1 else 0

    def of_key(self, queue: str, key: str) -> int:
        """Returns the partition in which all jobs with a key are."""
        return jump_hash(key, self._count_of(queue))

    def of_id(self, queue: str, chunk_id: str) -> int:
        """Returns the partition in which a chunk is, unless it was stored with another number of partitions."""
        generated = _GENERATED.fullmatch(chunk_id)
        if generated is not None:
            return int(generated[1] or 0)
        # A recurring job is defined in partition 0, and its runs are stored in the step that finds it due.
        return 0 if chunk_id.startswith(RUN_PREFIX) else self.of_key(queue, chunk_id)
