"""A cluster of three masters with a replica each: masters fail, hand over, and slots move between them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from redis.crc import key_slot

from tests.chaos.topologies.base import Fault, NoServer, Trouble, common_faults
from tests.chaos.topologies.machines import Machines
from tests.harness.cluster import PATIENCE_S, LocalCluster, brief_pause
from tests.harness.network import Host
from tests.harness.tcp_server import TcpServer
from tests.harness.waiting import wait_until

#: How long a master is away, in seconds: longer than the others wait, so that they do promote its replica.
_AWAY_S = (2.5, 5.0)


class ClusterTopology(Machines):
    """Each node has a machine of its own."""

    partitions = 2
    replicas = 1
    rig: LocalCluster

    def __init__(self) -> None:
        super().__init__(6)
        self._slots = {name: key_slot(keys.stats) for name, keys in self.keys.items()}

    def make_rig(self, hosts: Sequence[Host]) -> LocalCluster:
        return LocalCluster(hosts=hosts)

    @property
    def url(self) -> str:
        return self.rig.url

    def owner(self, key: bytes) -> TcpServer:
        found = self.rig.living_owner(key_slot(key))
        if found is None:
            raise NoServer(f"the slot of {key!r} has no master at present")
        return found

    def settled(self) -> bool:
        return self.rig.settled()

    def masters(self) -> list[TcpServer]:
        return self.rig.masters()

    def faults(self) -> list[Fault]:
        found = [
            Fault("kill a master", 4, self._kill_master),
            Fault("freeze a master", 4, self._freeze_master),
            Fault("order a failover", 3, self._order_failover),
            Fault("move a slot by its keys", 4, self._move_slot),
            Fault("kill a replica", 1, self._kill_replica),
            *common_faults(self),
        ]
        if self.network is not None:
            found.append(Fault("cut a master off", 4, self._cut_master_off))
        if self.rig.moves_slots():
            found.append(Fault("move a slot atomically", 3, self._move_slot_atomically))
        return found

    def _kill_master(self, draw: random.Random) -> Trouble:
        victim, partitions = self._victim(draw)
        victim.kill()
        return self._promotion(draw, victim, partitions, lambda: victim.start() and None, outlived=False)

    def _freeze_master(self, draw: random.Random) -> Trouble:
        victim, partitions = self._victim(draw)
        victim.freeze()
        return self._promotion(draw, victim, partitions, victim.thaw, outlived=True)

    def _cut_master_off(self, draw: random.Random) -> Trouble:
        victim, partitions = self._victim(draw)
        victim.cut_off(self.rig.nodes)
        return self._promotion(draw, victim, partitions, lambda: victim.join(self.rig.nodes), outlived=True)

    def _victim(self, draw: random.Random) -> tuple[TcpServer, frozenset[str]]:
        """A master that has partitions of ours, and which."""
        owners = {name: self.rig.owner_of_slot(slot) for name, slot in self._slots.items()}
        victim = draw.choice(sorted(set(owners.values()), key=lambda node: node.port))
        return victim, frozenset(name for name, owner in owners.items() if owner is victim)

    def _promotion(
        self,
        draw: random.Random,
        victim: TcpServer,
        partitions: frozenset[str],
        end: Callable[[], None],
        *,
        outlived: bool,
    ) -> Trouble:
        slot = self._slots[min(partitions)]

        def heal() -> None:
            wait_until(
                lambda: self.rig.living_owner(slot) is not None, PATIENCE_S, f"the replica of {victim.port} took over"
            )
            end()

        seconds = draw.uniform(*_AWAY_S)
        return Trouble(seconds, heal, self.settled, promotes=True, outlived=outlived, partitions=partitions)

    def _order_failover(self, draw: random.Random) -> Trouble:
        """The master lets nobody write until its replica has everything: nothing may be lost."""
        victim, partitions = self._victim(draw)
        replica = self.rig.replica_of(victim)
        replica.call("CLUSTER", "FAILOVER")

        def heal() -> None:
            wait_until(
                lambda: replica in self.rig.masters(), PATIENCE_S, f"{replica.port} took over from {victim.port}"
            )

        return Trouble(0.0, heal, self.settled, partitions=partitions)

    def _move_slot(self, draw: random.Random) -> Trouble:
        """Some of its keys at once, the others later: in between its calls have to wait."""
        partition, slot, target = self._journey(draw)
        source = self.rig.begin_moving(slot, target)
        for key in source.call("CLUSTER", "GETKEYSINSLOT", slot, draw.randint(1, 6)):
            source.call("MIGRATE", target.host, target.port, key, 0, 5000)

        def heal() -> None:
            self.rig.move_keys(slot, source, target, brief_pause)
            self.rig.end_moving(slot, target)
            _wait_for_replica(target)

        return Trouble(draw.uniform(0.1, 1.0), heal, self.settled, partitions=frozenset([partition]))

    def _move_slot_atomically(self, draw: random.Random) -> Trouble:
        partition, slot, target = self._journey(draw)
        self.rig.move_slot_atomically(slot, target)
        return Trouble(0.0, lambda: _wait_for_replica(target), self.settled, partitions=frozenset([partition]))

    def _journey(self, draw: random.Random) -> tuple[str, int, TcpServer]:
        """A partition, its slot, and a master that does not have it."""
        partition, slot = draw.choice(sorted(self._slots.items()))
        owner = self.rig.owner_of_slot(slot)
        others = [node for node in self.rig.masters() if node is not owner]
        return partition, slot, draw.choice(others)

    def _kill_replica(self, draw: random.Random) -> Trouble:
        victim = self.rig.replica_of(self._victim(draw)[0])
        victim.kill()
        return Trouble(draw.uniform(1, 4), lambda: victim.start() and None, self.settled)


def _wait_for_replica(master: TcpServer) -> None:
    """What came with a slot is on its way to the replica still: should the master fail now, it would be lost."""
    wanted = master.info("replication")["master_repl_offset"]

    def has_come() -> bool:
        info = master.info("replication")
        return any(info[name]["offset"] >= wanted for name in info if name in {"slave0", "slave1"})

    wait_until(has_come, PATIENCE_S, f"the replica of {master.port} has what came with a slot")
