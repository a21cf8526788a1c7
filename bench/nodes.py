"""Servers over TCP on loopback for a measurement: a single one, or the masters of a cluster that carry partitions."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable
from typing import Any

import redis

from bench.server import NAMESPACE, QUEUE
from fastjobs.server.cluster import slot_of
from fastjobs.store.keys import QueueKeys, queue_keys
from fastjobs.store.scripts import all_scripts
from tests.harness.cluster import SLOTS, LocalCluster
from tests.harness.tcp_server import TcpServer

#: As in `BenchServer`: a rewrite of the log would fall into one measurement and not into another.
_OPTIONS = ("--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0")


class Nodes:
    """Fresh servers, with the partitions of one queue on them; a context manager.

    Args:
        binary: the server program.
        masters: how many masters the cluster has; None = one server without a cluster.
        queue: the measured queue.
        partitions: its number of partitions.
    """

    def __init__(self, binary: str, masters: int | None = None, queue: str = QUEUE, partitions: int = 1) -> None:
        self.queue = queue
        self.partitions = partitions
        self._cluster = None if masters is None else LocalCluster(masters, 0, *_OPTIONS, binary=binary)
        self.servers = self._cluster.nodes if self._cluster else [TcpServer(*_OPTIONS, binary=binary)]
        self._clients: list[redis.Redis] = []
        #: Number of a server -> the keys of its partitions.
        self._keys: dict[int, list[QueueKeys]] = {}

    def __enter__(self) -> Nodes:
        try:
            if self._cluster:
                self._cluster.start()
            else:
                self.servers[0].start()
        except BaseException:
            self._close()
            raise
        self._clients = [server.client() for server in self.servers]
        # Once per server, however many jobs there are: this memory belongs to no job.
        for client in self._clients:
            for script in all_scripts():
                client.script_load(script.source)
        for number in range(self.partitions):
            keys = queue_keys(NAMESPACE, self.queue, number)
            self._keys.setdefault(self._place(keys), []).append(keys)
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        self._close()

    @property
    def url(self) -> str:
        """The arguments of an app."""
        return self._cluster.url if self._cluster else f"redis://{self.servers[0].address}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment with which a worker finds these servers."""
        return {"FASTJOBS_URL": self.url, "FASTJOBS_PARTITIONS": str(self.partitions)}

    @property
    def clients(self) -> list[redis.Redis]:
        """A connection to each of the servers."""
        return self._clients

    def spread(self) -> list[int]:
        """Returns how many partitions each server has, most first."""
        return sorted((len(self._keys.get(number, ())) for number in range(len(self.servers))), reverse=True)

    def cpu_s(self) -> list[float]:
        """Returns the processor time each server has used, in seconds."""
        infos = [client.info("cpu") for client in self._clients]
        return [float(info["used_cpu_user"]) + float(info["used_cpu_sys"]) for info in infos]

    def memory_bytes(self) -> int:
        """Returns the memory of the servers' data, without the buffers of their clients and logs."""
        infos = [client.info("memory") for client in self._clients]
        return sum(
            int(info["used_memory"]) - int(info["mem_clients_normal"]) - int(info["mem_aof_buffer"]) for info in infos
        )

    def stat(self, field: str) -> int:
        """Returns one of the queue's exact counters, summed over its partitions."""
        return sum(int(value or 0) for value in self._ask(lambda pipeline, keys: pipeline.hget(keys.stats, field)))

    def sessions(self) -> int:
        """Returns how many processes have opened a session in every partition."""
        return int(min(self._ask(lambda pipeline, keys: pipeline.zcard(keys.sessions))))

    def hold(self) -> None:
        """Keeps workers from taking jobs until `let_go`."""
        self._ask(lambda pipeline, keys: pipeline.hset(keys.stats, "paused", 1))

    def let_go(self, processes: int) -> None:
        """Lets workers take jobs, and wakes that many processes."""
        self._ask(lambda pipeline, keys: pipeline.hdel(keys.stats, "paused").lpush(keys.wake, *[""] * processes))

    def _ask(self, add: Callable[[Any, QueueKeys], object]) -> list[Any]:
        """Sends the same commands for each partition, in one write to each server."""
        replies: list[Any] = []
        for number, partitions in self._keys.items():
            pipeline = self._clients[number].pipeline(transaction=False)
            for keys in partitions:
                add(pipeline, keys)
            replies += pipeline.execute()
        return replies

    def _place(self, keys: QueueKeys) -> int:
        return self.servers.index(self._cluster.owner(keys.stats)) if self._cluster else 0

    def _close(self) -> None:
        for server in self.servers:
            server.close()


def queue_apart(masters: int) -> str:
    """Returns the name of a queue whose first partitions are on different masters of a fresh cluster."""
    for number in itertools.count():
        name = f"bench{number}"
        slots = [slot_of(queue_keys(NAMESPACE, name, partition).stats) for partition in range(masters)]
        if len({bisect.bisect_right(first_slots(masters), slot) for slot in slots}) == masters:
            return name
    raise LookupError("there are names without end")


def first_slots(masters: int) -> list[int]:
    """Returns the first slot of each master of a fresh cluster."""
    return [SLOTS * number // masters for number in range(masters)]
