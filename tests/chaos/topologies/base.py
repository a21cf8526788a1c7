"""What a chaos run has to know about the servers it runs on: where keys are, the lines to them, and their faults."""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import redis

from fastjobs.model.partitions import partition_name
from fastjobs.store.keys import QueueKeys, queue_keys
from tests.chaos.app import QUEUES

NAMESPACE = "chaos"
#: The lease of the workers: what is stopped for some time is so for well less, or well more.
LEASE_MS = 2000


class Server(Protocol):
    """One server, as far as everybody has to know it."""

    def client(self, timeout_s: float = 10) -> redis.Redis:
        """Returns a connection of its own, straight to it."""


class NoServer(Exception):
    """No server is known at present that has the key."""


class Line(Protocol):
    """What is between one client and the servers."""

    #: Where the client finds them, and what its command has to begin with.
    url: str
    prefix: tuple[str, ...]
    #: Whether anything can be done to it, and whether something is.
    harmable: bool
    harmed: bool

    def harm(self, draw: random.Random) -> str:
        """Lets it misbehave until it is healed; returns how."""

    def heal(self) -> None:
        """Lets it pass everything on again."""


def _nothing() -> None: ...


def _at_once() -> bool:
    return True


@dataclass(frozen=True)
class Trouble:
    """What a fault has begun."""

    #: How long until it is healed, in seconds.
    seconds: float
    heal: Callable[[], None] = _nothing
    #: Asked after the healing until it is true: are the servers as they should be?
    settled: Callable[[], bool] = _at_once
    #: Another server may take over without what the one before confirmed last.
    promotes: bool = False
    #: The one before lives on, and confirms what will be thrown away until it is demoted.
    outlived: bool = False
    #: Which partitions are served by another server afterwards; None = this is not about that.
    partitions: frozenset[str] | None = None


#: It is over already, and nothing was out of service.
PASSED = Trouble(0.0)


class Fault(NamedTuple):
    """Something that can be done to the servers."""

    what: str
    #: How often it is chosen, compared to others.
    weight: int
    #: Does it; None = not possible now.
    strike: Callable[[random.Random], Trouble | None]


class Topology(ABC):
    """Servers, from start to close.

    The keys of all partitions are in `keys`, by their names.
    """

    #: Partitions of each queue.
    partitions = 1
    #: All replicas a master has: who waits for so many copies loses nothing when one of them takes over.
    replicas = 0

    def __init__(self) -> None:
        numbers = range(self.partitions)
        self.keys: dict[str, QueueKeys] = {
            partition_name(queue, number): queue_keys(NAMESPACE, queue, number)
            for queue in QUEUES
            for number in numbers
        }

    @abstractmethod
    def start(self) -> None:
        """Starts the servers and waits until they serve."""

    @property
    @abstractmethod
    def url(self) -> str:
        """Where a client that nothing is to befall finds them."""

    @abstractmethod
    def worker_line(self) -> Line:
        """Returns a new line for a worker, closed with the topology."""

    @abstractmethod
    def producers_line(self) -> Line:
        """Returns a new line for this process, closed with the topology."""

    @abstractmethod
    def owner(self, key: bytes) -> Server:
        """Returns the server that has a key now.

        Raises:
            NoServer, redis.RedisError: that is not to be found out.
        """

    @abstractmethod
    def masters(self) -> Sequence[Server]:
        """Returns those that take writes now.

        Raises:
            NoServer, redis.RedisError: that is not to be found out.
        """

    def settled(self) -> bool:
        """Whether the servers agree on who serves, and each of those has its replicas."""
        return True

    @abstractmethod
    def faults(self) -> list[Fault]:
        """Returns all that can be done to them, one at a time."""

    @abstractmethod
    def close(self) -> None:
        """Ends the servers and all lines, whatever state they are in."""

    def owners(self) -> list[Server]:
        """Returns which server has each partition now; errors as `owner`."""
        return [self.owner(keys.stats) for keys in self.keys.values()]

    def used_memory(self) -> int:
        """Returns what all masters hold, in bytes, without what is kept for replicas; errors as `masters`."""
        total = 0
        for server in self.masters():
            with server.client(1) as client:
                found = client.info("memory")
            total += found["used_memory"] - found["mem_total_replication_buffers"]
        return total


def common_faults(topology: Topology) -> list[Fault]:
    """Returns the faults that any servers can have: they live, and do not do what is expected of them."""

    def tell(*words: str) -> None:
        # A kill of all connections includes our own.
        with suppress(redis.RedisError, NoServer):
            for server in topology.masters():
                with suppress(redis.RedisError), server.client(1) as client:
                    client.execute_command(*words)

    def repeat(*words: str) -> Trouble:
        for _ in range(5):
            tell(*words)
            time.sleep(0.05)
        return PASSED

    def fill(draw: random.Random) -> Trouble:
        tell("CONFIG", "SET", "maxmemory", "1")
        return Trouble(draw.uniform(0.5, 1.5), lambda: tell("CONFIG", "SET", "maxmemory", "0"))

    return [
        Fault("kill all connections", 3, lambda draw: repeat("CLIENT", "KILL", "TYPE", "normal")),
        Fault("flush the scripts", 3, lambda draw: repeat("SCRIPT", "FLUSH")),
        Fault("fill the server", 2, fill),
    ]


def span_s(draw: random.Random, lease_ms: int) -> float:
    """How long something is stopped: well within a lease, or well beyond it; in between nobody can tell."""
    return lease_ms / 1000 * draw.choice((0.2, 0.4, 1.5, 2.0))
