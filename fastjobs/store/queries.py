"""The plain commands that fastjobs sends beside its scripts, each with a name for what it asks or writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from fastjobs.model.numbers import COUNT_LIMIT
from fastjobs.model.partitions import is_partition
from fastjobs.model.stored import finishing_range, split_finishing
from fastjobs.store.batch import BaseBatch, Reply
from fastjobs.store.keys import queues_key, worker_orders_key, workers_key
from fastjobs.store.replies import pairs

#: Field of `stats`: when a producer last waited for durability.
_DURABLE_AT = "durable_at"
#: Field of `stats`: set while a queue is paused.
_ENQUEUED = "enqueued_total"
_PAUSED = "paused"
_SET_ASIDE = "set_aside"


def _partitions(reply: Iterable[bytes]) -> list[str]:
    names = (name.decode("utf-8", "replace") for name in reply)
    return [name for name in names if is_partition(name)]


def _foreign_names(reply: Iterable[bytes]) -> list[bytes]:
    return sorted(name for name in reply if not is_partition(name.decode("utf-8", "replace")))


def _texts(reply: list[bytes]) -> list[str]:
    return [name.decode("utf-8", "replace") for name in reply]


def _text(reply: bytes | None) -> str:
    return (reply or b"").decode("utf-8", "replace")


def _number(reply: bytes | None) -> int:
    """A counter; 0 for one that is no number that can be counted with, which fsck counts anew."""
    try:
        number = int(reply or 0)
    except ValueError:
        return 0
    return number if abs(number) < COUNT_LIMIT else 0


def _numbers(reply: Iterable[bytes | None]) -> list[int]:
    return list(map(_number, reply))


def _microseconds(reply: Sequence[bytes]) -> int:
    seconds, microseconds = reply
    return int(seconds) * 1_000_000 + int(microseconds)


def _milliseconds(reply: Sequence[bytes]) -> int:
    return _microseconds(reply) // 1000


def _page(reply: Sequence[Any]) -> tuple[bytes, dict[bytes, bytes]]:
    cursor, fields = reply
    return cursor, pairs(fields)


def _scored(reply: list[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(reply[::2], reply[1::2], strict=True))


def _info(reply: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in reply.decode("utf-8", "replace").splitlines() if ":" in line)
    return {name: value for name, _, value in lines}


def _setting(reply: Sequence[bytes]) -> str | None:
    return reply[1].decode("utf-8", "replace") if reply else None


class Queries(BaseBatch):
    """Plain commands about stored jobs, queues, workers and the server."""

    # Stored jobs.

    def has_chunk(self, partition: str, chunk_id: str) -> Reply[bool]:
        """Asks whether a chunk is stored."""
        return self.command("HEXISTS", self._keyspace.keys(partition).chunks, chunk_id, parse=bool)

    def has_record(self, partition: str, ref: str) -> Reply[bool]:
        """Asks whether a detached job is stored."""
        return self.command("HEXISTS", self._keyspace.keys(partition).jobs, ref, parse=bool)

    def stored_chunk(self, partition: str, chunk_id: bytes | str) -> Reply[bytes | None]:
        """Reads a chunk as it is stored; None when there is none."""
        return self.command("HGET", self._keyspace.keys(partition).chunks, chunk_id)

    def stored_record(self, partition: str, ref: str) -> Reply[bytes | None]:
        """Reads the record of a detached job as it is stored; None when there is none."""
        return self.command("HGET", self._keyspace.keys(partition).jobs, ref)

    def stored_segments(self, partition: str, chunk_id: str) -> Reply[bytes | None]:
        """Reads the times of the finished jobs of a chunk that ended; None when none are kept."""
        return self.command("HGET", self._keyspace.keys(partition).finished, chunk_id)

    def finishing_segments(self, partition: str, chunk_id: str) -> Reply[bytes | None]:
        """Reads the times of the jobs that finished in a chunk that goes on; None when there are none."""
        finishing = self._keyspace.keys(partition).finishing
        return self.command("ZRANGE", finishing, *finishing_range(chunk_id), "BYLEX", parse=_joined_segments)

    def stored_marks(self, partition: str, chunk_id: str) -> Reply[bytes | None]:
        """Reads the marks of a chunk; None when it has none."""
        return self.command("HGET", self._keyspace.keys(partition).marks, chunk_id)

    def finishing_chunks(self, partition: str, after: str, limit: int) -> Reply[tuple[list[str], bool]]:
        """Reads the ids of chunks that go on and have finished jobs, in order, and whether there may be more.

        Args:
            partition: which.
            after: leave out the chunks up to this one; "" = begin with the first.
            limit: most members of `finishing` to look at; a chunk has one for each run of finished jobs.
        """
        _, low = finishing_range(after)
        finishing = self._keyspace.keys(partition).finishing
        limits = ("BYLEX", "LIMIT", 0, limit)
        return self.command(
            "ZRANGE", finishing, low if after else "-", "+", *limits, parse=partial(_finishing_chunks, limit)
        )

    def lease_names(self, partition: str) -> Reply[list[str]]:
        """Reads the names of all leases of a partition, and the ids of the sessions that hold them, in no order."""
        return self.command("HKEYS", self._keyspace.keys(partition).leases, parse=_texts)

    def stored_lease(self, partition: str, name: str) -> Reply[bytes | None]:
        """Reads what is in a lease; None when there is none of this name."""
        return self.command("HGET", self._keyspace.keys(partition).leases, name)

    def first_ready(self, partition: str, lowest: str) -> Reply[list[tuple[bytes, bytes]]]:
        """Reads the first (member, score) in line from a score on, such as `-inf` or `(3`; empty when there is none."""
        ready = self._keyspace.keys(partition).ready
        limits = ("BYSCORE", "LIMIT", 0, 1, "WITHSCORES")
        return self.command("ZRANGE", ready, lowest, "+inf", *limits, parse=_scored)

    # Counters.

    def counters(self, partition: str, names: Iterable[str]) -> Reply[list[int]]:
        """Reads counters of a partition; 0 for one that was never counted."""
        return self.command("HMGET", self._keyspace.keys(partition).stats, *map(str, names), parse=_numbers)

    def counter(self, partition: str, name: str) -> Reply[int]:
        """Reads one counter of a partition."""
        return self.command("HGET", self._keyspace.keys(partition).stats, name, parse=_number)

    def was_enqueued_to(self, partition: str) -> Reply[bool]:
        """Asks whether anything was ever enqueued to a partition, since it was last forgotten."""
        return self.command("HEXISTS", self._keyspace.keys(partition).stats, _ENQUEUED, parse=bool)

    def set_aside(self, partition: str) -> Reply[int]:
        """Reads how many members, which nobody could read, were put aside since the last repair."""
        return self.command("HGET", self._keyspace.keys(partition).stats, _SET_ASIDE, parse=_number)

    def last_sequence(self, partition: str) -> Reply[str]:
        """Reads the largest place in line that was given out; "" when there was none."""
        return self.command("HGET", self._keyspace.keys(partition).stats, "sequence", parse=_text)

    # Queues.

    def list_partition(self, partition: str) -> Reply[int]:
        """Lists a partition as used."""
        return self.command("SADD", queues_key(self._keyspace.config.namespace), partition)

    def foreign_names(self) -> Reply[list[bytes]]:
        """Reads the names in the list of partitions that no partition can have."""
        return self.command("SMEMBERS", queues_key(self._keyspace.config.namespace), parse=_foreign_names)

    def unlist_partition(self, partition: str | bytes) -> Reply[int]:
        """Takes a partition off the list."""
        return self.command("SREM", queues_key(self._keyspace.config.namespace), partition)

    def used_partitions(self) -> Reply[list[str]]:
        """Reads the partitions that are listed as used, in no order; names that no partition can have are left out."""
        return self.command("SMEMBERS", queues_key(self._keyspace.config.namespace), parse=_partitions)

    def pause(self, partition: str) -> Reply[int]:
        """Lets nothing be leased from a partition."""
        return self.command("HSET", self._keyspace.keys(partition).stats, _PAUSED, 1)

    def unpause(self, partition: str) -> Reply[int]:
        """Ends a pause."""
        return self.command("HDEL", self._keyspace.keys(partition).stats, _PAUSED)

    def is_paused(self, partition: str) -> Reply[bool]:
        """Asks whether a partition is paused."""
        return self.command("HEXISTS", self._keyspace.keys(partition).stats, _PAUSED, parse=bool)

    def hint(self, partition: str) -> Reply[int]:
        """Wakes one process that waits for work of a partition."""
        return self.command("LPUSH", self._keyspace.keys(partition).wake, "")

    def wait_for_hint(self, wake_keys: Iterable[bytes], wait_s: float) -> Reply[bytes | None]:
        """Waits for a hint in one of the wake lists; the key it came from, None when none came in time."""
        return self.command("BLPOP", *wake_keys, f"{wait_s:.3f}", parse=lambda reply: reply and reply[0])

    # Recurring jobs.

    def stored_definition(self, partition: str, definition_id: str) -> Reply[bytes | None]:
        """Reads a definition as it is stored; None when there is none."""
        return self.command("HGET", self._keyspace.keys(partition).recurring, definition_id)

    def scan_definitions(self, partition: str, cursor: bytes, count: int) -> Reply[tuple[bytes, dict[bytes, bytes]]]:
        """Reads a page of definitions: the cursor of the next page, b"0" after the last, and id -> definition."""
        return self.command("HSCAN", self._keyspace.keys(partition).recurring, cursor, "COUNT", count, parse=_page)

    def first_due(self, partition: str, passed: int, limit: int) -> Reply[list[tuple[bytes, bytes]]]:
        """Reads (id, due ms) of the recurring jobs that are due first, behind so many that are passed."""
        due = self._keyspace.keys(partition).recurring_due
        return self.command("ZRANGE", due, passed, passed + limit - 1, "WITHSCORES", parse=_scored)

    # Workers.

    def describe_worker(self, worker_id: str, entry: bytes) -> Reply[int]:
        """Writes a worker's entry in the list of workers."""
        return self.command("HSET", workers_key(self._keyspace.config.namespace), worker_id, entry)

    def worker_entries(self) -> Reply[dict[bytes, bytes]]:
        """Reads the list of workers: id -> entry."""
        return self.command("HGETALL", workers_key(self._keyspace.config.namespace), parse=pairs)

    def give_order(self, worker_id: str, order: str) -> Reply[int]:
        """Leaves an order for a worker to find with its next heartbeat."""
        return self.command("HSET", worker_orders_key(self._keyspace.config.namespace), worker_id, order)

    def order_for(self, worker_id: str) -> Reply[bytes | None]:
        """Reads the order for a worker; None without one."""
        return self.command("HGET", worker_orders_key(self._keyspace.config.namespace), worker_id)

    def forget_worker(self, worker_id: str) -> Reply[int]:
        """Removes a worker, and what was ordered of it, from the lists."""
        self.command("HDEL", workers_key(self._keyspace.config.namespace), worker_id)
        return self.command("HDEL", worker_orders_key(self._keyspace.config.namespace), worker_id)

    # The server.

    def time_us(self) -> Reply[int]:
        """Reads the server's clock, in microseconds since 1970."""
        return self.command("TIME", parse=_microseconds)

    def time_ms(self) -> Reply[int]:
        """Reads the server's clock, in milliseconds since 1970."""
        return self.command("TIME", parse=_milliseconds)

    def info(self, section: str) -> Reply[dict[str, str]]:
        """Reads a section of what the server says about itself."""
        return self.command("INFO", section, parse=_info)

    def setting(self, name: str) -> Reply[str | None]:
        """Reads a setting of the server; None when it has none of this name."""
        return self.command("CONFIG", "GET", name, parse=_setting)

    # Durability. A wait speaks for what was written before it over the same connection.

    def note_durable(self, partition: str, now_ms: int) -> Reply[int]:
        """Writes once to the server of a partition, for a wait to have something to wait for."""
        return self.command("HSET", self._keyspace.keys(partition).stats, _DURABLE_AT, now_ms)

    def wait_for_disk(self, timeout_ms: int) -> Reply[int]:
        """Waits until everything written before is on the server's disk; 1 when it is."""
        return self.command("WAITAOF", 1, 0, timeout_ms, parse=lambda reply: reply[0])

    def wait_for_replicas(self, replicas: int, timeout_ms: int) -> Reply[int]:
        """Waits until everything written before is on replicas; returns on how many it is."""
        return self.command("WAIT", replicas, timeout_ms)


def _finishing_chunks(limit: int, members: list[bytes]) -> tuple[list[str], bool]:
    return list(dict.fromkeys(split_finishing(member)[0] for member in members)), len(members) == limit


def _joined_segments(members: list[bytes]) -> bytes | None:
    return b"".join(split_finishing(member)[1] for member in members) or None
