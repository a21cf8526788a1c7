"""A cluster under a test's control: masters and replicas, whose slots can be moved."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Self

import redis
from redis.crc import key_slot

from tests.harness.network import Host
from tests.harness.tcp_server import PATIENCE_S, Rig, TcpServer, free_port
from tests.harness.waiting import wait_until

#: How long a node may be silent until the others take it for dead.
NODE_TIMEOUT_MS = 1500
SLOTS = 16384


class LocalCluster(Rig):
    """Masters, and replicas of them.

    Args:
        masters, replicas: how many; masters get their replicas in turn.
        args: further options of all nodes.
        hosts: a machine for each node; empty = all on loopback.
        binary: which program; None = the one under test.
    """

    def __init__(
        self,
        masters: int = 3,
        replicas: int = 3,
        *args: str,
        hosts: Sequence[Host] = (),
        binary: str | None = None,
    ) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS))
        options += ("--cluster-replica-validity-factor", "0", *args)
        places = list(hosts) or [None] * (masters + replicas)
        self.nodes = [TcpServer(*options, host=host, port=free_port(), binary=binary) for host in places]
        self._masters = masters
        self.ids: dict[str, TcpServer] = {}

    @property
    def processes(self) -> Sequence[TcpServer]:
        return self.nodes

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(node.address for node in self.nodes)

    def client(self) -> redis.Redis:
        """A connection to one of the nodes."""
        return self.nodes[0].client()

    def start(self) -> Self:
        for node in self.nodes:
            node.spawn()
        for node in self.nodes:
            wait_until(node.answers, PATIENCE_S, "all nodes answer")
        masters, replicas = self.nodes[: self._masters], self.nodes[self._masters :]
        for number, node in enumerate(self.nodes):
            node.call("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            self.ids[str(node.call("CLUSTER", "MYID"), "ascii")] = node
        for number, node in enumerate(masters):
            first, last = SLOTS * number // len(masters), SLOTS * (number + 1) // len(masters) - 1
            node.call("CLUSTER", "ADDSLOTSRANGE", first, last)
        for node in self.nodes[1:]:
            node.call("CLUSTER", "MEET", self.nodes[0].host, self.nodes[0].port)
        wait_until(lambda: all(self._knows(node) for node in self.nodes), PATIENCE_S, "all nodes know each other")
        for number, node in enumerate(replicas):
            master = masters[number % len(masters)]
            wait_until(lambda node=node, master=master: self._follow(node, master), PATIENCE_S, "a replica follows")
        self.wait_ok()
        wait_until(
            lambda: all(node.info("replication")["master_link_status"] == "up" for node in replicas), 30, "synced"
        )
        return self

    def _knows(self, node: TcpServer) -> bool:
        return int(cluster_info(node)["cluster_known_nodes"]) == len(self.nodes)

    def _follow(self, node: TcpServer, master: TcpServer) -> bool:
        try:
            node.call("CLUSTER", "REPLICATE", self.id_of(master))
        except redis.exceptions.ResponseError:
            return False
        return True

    def id_of(self, node: TcpServer) -> str:
        return next(name for name, known in self.ids.items() if known is node)

    def wait_ok(self) -> None:
        living = [node for node in self.nodes if node.alive]
        wait_until(
            lambda: all(cluster_info(node)["cluster_state"] == "ok" for node in living),
            PATIENCE_S,
            "the cluster is ok",
        )

    def owner(self, key: str | bytes) -> TcpServer:
        """The master of a key's slot, as the majority of the living nodes sees it."""
        return self.owner_of_slot(key_slot(key.encode() if isinstance(key, str) else key))

    def owner_of_slot(self, slot: int) -> TcpServer:
        found = self.living_owner(slot)
        assert found is not None, f"slot {slot} has no owner that lives"
        return found

    def living_owner(self, slot: int) -> TcpServer | None:
        """The master of a slot, as one of the living nodes sees it; None when it is dead."""
        for node in self.nodes:
            if not node.trusted:
                continue
            for first, last, (_, port, *_), *_ in _raw_slots(node):
                if first <= slot <= last:
                    found = next(other for other in self.nodes if other.port == port)
                    if found.trusted:
                        return found
        return None

    def masters(self) -> list[TcpServer]:
        return [node for node in self.nodes if node.trusted and node.info("replication")["role"] == "master"]

    def replica_of(self, master: TcpServer) -> TcpServer:
        for node in self.nodes:
            if node.trusted and node.info("replication").get("master_port") == master.port:
                return node
        raise AssertionError("no replica")

    def settled(self) -> bool:
        """Whether all nodes agree on the slots, and each master has its replica."""
        if not all(node.trusted for node in self.nodes):
            return False
        try:
            maps = [
                sorted((first, last, owner[1]) for first, last, owner, *_ in _raw_slots(node)) for node in self.nodes
            ]
            roles = [node.info("replication") for node in self.nodes]
            ok = all(cluster_info(node)["cluster_state"] == "ok" for node in self.nodes)
        except redis.exceptions.RedisError:
            return False
        masters = [found for found in roles if found["role"] == "master"]
        replicas = [found for found in roles if found["role"] == "slave"]
        whole = len(masters) == self._masters and all(found["connected_slaves"] for found in masters)
        return ok and whole and maps.count(maps[0]) == len(maps) and all(map(_is_in_step, replicas))

    def begin_moving(self, slot: int, target: TcpServer) -> TcpServer:
        """From now on the owner sends for keys it does not have to the target; returns the owner."""
        source = self.owner_of_slot(slot)
        target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
        source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(target))
        return source

    def move_keys(
        self, slot: int, source: TcpServer, target: TcpServer, step: Callable[[], None] = lambda: None
    ) -> int:
        """Moves the keys of a slot one by one; returns how many."""
        moved = 0
        while keys := source.call("CLUSTER", "GETKEYSINSLOT", slot, 1):
            source.call("MIGRATE", target.host, target.port, keys[0], 0, 5000)
            moved += 1
            step()
        return moved

    def moves_slots(self) -> bool:
        """Whether its servers move slots by themselves, atomically."""
        return any(b"MIGRATESLOTS" in line for line in self.nodes[0].call("CLUSTER", "HELP"))

    def move_slot_atomically(self, slot: int, target: TcpServer) -> None:
        """Lets the servers move a slot, and waits until they have."""
        source = self.owner_of_slot(slot)
        if source is not target:
            source.call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", self.id_of(target))
            wait_until(lambda: self.owner_of_slot(slot) is target, PATIENCE_S, f"slot {slot} has moved")

    def end_moving(self, slot: int, target: TcpServer) -> None:
        for node in [target, *(node for node in self.masters() if node is not target)]:
            node.call("CLUSTER", "SETSLOT", slot, "NODE", self.id_of(target))

    def move_slot(self, slot: int, target: TcpServer, step: Callable[[], None] = lambda: None) -> None:
        """Moves a slot with all its keys."""
        source = self.begin_moving(slot, target)
        if source is not target:
            self.move_keys(slot, source, target, step)
            self.end_moving(slot, target)


def cluster_info(node: TcpServer) -> dict[str, str]:
    """What a node says about its cluster."""
    return dict(line.split(":", 1) for line in node.call("CLUSTER", "INFO").decode().splitlines() if ":" in line)


def _is_in_step(replication: dict[str, Any]) -> bool:
    return bool(replication["master_link_status"] == "up")


def _raw_slots(node: TcpServer) -> list[Any]:
    # Two words: redis-py would give those of "CLUSTER SLOTS" another shape.
    return list(node.call("CLUSTER", "SLOTS"))


def brief_pause() -> None:
    """Between the steps of something that goes on beside the load."""
    time.sleep(0.01)
