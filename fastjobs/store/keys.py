"""The stored-state table: every Redis key of fastjobs, declared once with its type, its meaning and its owner.

The scripts, `survey`, `fsck`, the tests' snapshots and the tables of docs/redis.md read this table, so a new key is one
new entry here and its row in the docs. All keys of one partition of a queue share one hash tag: a script that declares
them works on a cluster. Scripts get every key they touch and build no key names themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

#: The Redis types in use -> the command that reads the size of a key of that type, and fails on any other type.
SIZE_COMMANDS = {"hash": "HLEN", "zset": "ZCARD", "list": "LLEN", "set": "SCARD"}


class StoredKey(NamedTuple):
    """One key, and the values stored under it."""

    #: Redis type: hash, zset, list or set.
    type: str
    #: Field -> value, or member and score; the same words as in docs/redis.md.
    meaning: str
    #: The file or folder of fastjobs/ that defines what is stored here.
    owner: str
    #: Whether `fsck` compares it with the other keys; a key of hints only may hold anything.
    compared: bool = True
    #: Whether its values can be large: `survey` adds up their bytes before it reads all keys in one step.
    large: bool = False

    @property
    def size_command(self) -> str:
        """The command that reads its size; it fails on a key of another type."""
        return SIZE_COMMANDS[self.type]


#: The key of an entry in the metadata of an attribute.
_ENTRY = "stored"
_LIB = "store/scripts/lib/"


def _key(type_name: str, meaning: str, *, owner: str, compared: bool = True, large: bool = False) -> Any:
    """Declares the attribute of a class of keys."""
    return field(metadata={_ENTRY: StoredKey(type_name, meaning, owner, compared, large)})


@dataclass(frozen=True, slots=True)
class QueueKeys:
    """The keys of one partition of one queue."""

    chunks: bytes = _key(
        "hash",
        "chunk id -> <score> <sequence> <n>, a line end, <packed chunk>; kept while a job or the history needs it",
        owner=f"{_LIB}chunk.lua",
        large=True,
    )
    ready: bytes = _key(
        "zset",
        "<sequence><ref>, score = minus the priority: priority first, then first in first out",
        owner=f"{_LIB}place.lua",
    )
    scheduled: bytes = _key(
        "zset",
        "s (delayed) or r (retrying), <score>, and the member of ready it will be; score = due, ms",
        owner=f"{_LIB}place.lua",
    )
    marks: bytes = _key(
        "hash",
        "chunk id, or ref of a detached job -> <done> <redeliveries> <finished> <keep ms> <detached>, "
        "and <rounds> <postponed> where jobs were postponed",
        owner=f"{_LIB}marks.lua",
    )
    jobs: bytes = _key(
        "hash",
        "ref of a detached job -> <status> <score> <sequence> <at ms> <operation> <type>, a line end, "
        "its record (JSON)",
        owner=f"{_LIB}record.lua",
        large=True,
    )
    leases: bytes = _key(
        "hash",
        "<session>:<fence> -> <score> <member of ready> of each leased ref; "
        "<session> -> <request>:<fence> of its last fetch, then all its fences",
        owner=f"{_LIB}lease.lua",
        large=True,
    )
    sessions: bytes = _key(
        "zset", "session; score = deadline, ms; 0 while it is being reclaimed", owner=f"{_LIB}session.lua"
    )
    failed: bytes = _key("zset", "ref of a failed job; score = when, ms", owner=f"{_LIB}settle.lua")
    cancelled: bytes = _key("zset", "ref of a cancelled job; score = when, ms", owner=f"{_LIB}settle.lua")
    cancelling: bytes = _key(
        "zset",
        "ref of an executing job that is to be cancelled; score = when that was asked, ms",
        owner="store/scripts/cancel.lua",
    )
    finished: bytes = _key(
        "hash",
        "id of a chunk that ended -> segments <first>+<count> <head> and eight bytes of times per job",
        owner=f"{_LIB}history.lua",
        large=True,
    )
    finishing: bytes = _key(
        "zset",
        "id of a chunk that goes on, a tilde, and one of its segments; score 0",
        owner=f"{_LIB}history.lua",
    )
    finished_log: bytes = _key(
        "zset",
        "<jobs> <chunk id or ref> of a chunk or job that ended whole; score = when to forget it, ms",
        owner=f"{_LIB}history.lua",
    )
    recurring: bytes = _key(
        "hash",
        "id -> <version> <revision> <status> <due ms> <last due ms> <last run> <overlap> <schedule>, a line end, "
        "the definition (JSON)",
        owner=f"{_LIB}recurring.lua",
        large=True,
    )
    recurring_due: bytes = _key(
        "zset", "id of a recurring job that is not paused; score = next due instant, ms", owner=f"{_LIB}recurring.lua"
    )
    senders: bytes = _key(
        "hash",
        "sender (one thread of a producer) -> <forget at ms> <highest number stored>, "
        "and <first>+<count> of numbers below it that are not stored",
        owner=f"{_LIB}sender.lua",
        compared=False,
    )
    stats: bytes = _key(
        "hash", "counters, the sequence, the fence, the layout, and times for outages", owner=f"{_LIB}counters.lua"
    )
    wake: bytes = _key(
        "list",
        "empty strings, at most 64: hints that wake idle workers; never carries a job",
        owner=f"{_LIB}wake.lua",
        compared=False,
    )


#: Name -> entry, of the keys of a partition.
QUEUE_KEYS: dict[str, StoredKey] = {item.name: item.metadata[_ENTRY] for item in fields(QueueKeys)}

#: Name -> entry, of the keys of a namespace.
NAMESPACE_KEYS = {
    "queues": StoredKey("set", "the partitions of all queues that have been used: mail, mail#3", "store"),
    "workers": StoredKey(
        "hash", "worker id -> what it says about itself with each heartbeat (JSON)", "worker/supervisor"
    ),
    "worker_orders": StoredKey(
        "hash", "worker id -> quiet or stop, for it to find with its next heartbeat", "operating/workers.py"
    ),
}


def compared_keys(type_name: str) -> tuple[str, ...]:
    """Returns the names of a queue's keys of a Redis type which `fsck` compares."""
    return tuple(name for name, key in QUEUE_KEYS.items() if key.compared and key.type == type_name)


def queue_keys(namespace: str, queue: str, partition: int = 0) -> QueueKeys:
    """Returns the keys of one partition of a queue."""
    prefix = f"{{fastjobs:{namespace}:{queue}:{partition}}}:"
    return QueueKeys(**{name: (prefix + name).encode() for name in QUEUE_KEYS})


def queues_key(namespace: str) -> bytes:
    """Returns the key `queues` of a namespace."""
    return _namespace_key(namespace, "queues")


def worker_orders_key(namespace: str) -> bytes:
    """Returns the key `worker_orders` of a namespace."""
    return _namespace_key(namespace, "worker_orders")


def workers_key(namespace: str) -> bytes:
    """Returns the key `workers` of a namespace."""
    return _namespace_key(namespace, "workers")


def _namespace_key(namespace: str, name: str) -> bytes:
    assert name in NAMESPACE_KEYS
    return f"{{fastjobs:{namespace}}}:{name}".encode()
