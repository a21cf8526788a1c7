"""A master, two replicas and three Sentinels; every fault of the master makes a replica take over."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import redis

from tests.chaos.topologies.base import Fault, NoServer, Trouble, common_faults
from tests.chaos.topologies.machines import Machines
from tests.harness.network import Host
from tests.harness.sentinels import SERVICE, Sentinels
from tests.harness.tcp_server import TcpServer

#: How long a master may be silent until a Sentinel takes it for dead. With less, a new master is taken for dead at
#: times, before the Sentinels have heard from it for the first time.
_DOWN_AFTER_MS = 2500
#: How long a master is away, in seconds: longer than Sentinels wait, so that they do promote another.
_AWAY_S = (4.0, 7.0)


class SentinelTopology(Machines):
    """Each server shares its machine with a Sentinel."""

    replicas = 2
    rig: Sentinels

    def __init__(self) -> None:
        super().__init__(3)

    def make_rig(self, hosts: Sequence[Host]) -> Sentinels:
        return Sentinels(hosts, _DOWN_AFTER_MS)

    @property
    def url(self) -> str:
        return self.rig.url

    def owner(self, key: bytes) -> TcpServer:
        master = self.rig.master()
        if not master.trusted:
            raise NoServer("the master is gone, and no other was promoted yet")
        return master

    def settled(self) -> bool:
        return self.rig.settled()

    def masters(self) -> list[TcpServer]:
        return [self.owner(b"")]

    def faults(self) -> list[Fault]:
        found = [
            Fault("kill the master", 4, self._kill_master),
            Fault("freeze the master", 4, self._freeze_master),
            Fault("order a failover", 2, self._order_failover),
            Fault("kill a replica", 1, self._kill_replica),
            Fault("kill a Sentinel", 2, self._kill_sentinel),
            *common_faults(self),
        ]
        if self.network is not None:
            found.append(Fault("cut the master off", 4, self._cut_master_off))
        if self.rig.fails_over_coordinated():
            found.append(Fault("order a coordinated failover", 2, self._order_coordinated_failover))
        return found

    def _kill_master(self, draw: random.Random) -> Trouble:
        former = self.rig.master()
        former.kill()

        def heal() -> None:
            self.rig.wait_for_another(former)
            former.start()

        return self._promotion(draw, heal, outlived=False)

    def _freeze_master(self, draw: random.Random) -> Trouble:
        former = self.rig.master()
        former.freeze()

        def heal() -> None:
            self.rig.wait_for_another(former)
            former.thaw()

        return self._promotion(draw, heal, outlived=True)

    def _cut_master_off(self, draw: random.Random) -> Trouble:
        """Its clients still reach it, and the Sentinel on its machine still takes it for the master."""
        former = self.rig.master()
        beside = self.rig.sentinels[self.rig.servers.index(former)]
        former.cut_off(self.rig.servers)
        beside.apart = True

        def heal() -> None:
            self.rig.wait_for_another(former)
            former.join(self.rig.servers)
            beside.apart = False

        return self._promotion(draw, heal, outlived=True)

    def _promotion(self, draw: random.Random, heal: Callable[[], None], *, outlived: bool) -> Trouble:
        seconds, all_partitions = draw.uniform(*_AWAY_S), frozenset(self.keys)
        return Trouble(seconds, heal, self.settled, promotes=True, outlived=outlived, partitions=all_partitions)

    def _order_failover(self, draw: random.Random) -> Trouble | None:
        return self._failover(SERVICE, loses=True)

    def _order_coordinated_failover(self, draw: random.Random) -> Trouble | None:
        # The master lets nobody write until the other one has everything: nothing may be lost.
        return self._failover(SERVICE, "COORDINATED", loses=False)

    def _failover(self, *words: str, loses: bool) -> Trouble | None:
        former = self.rig.master()
        try:
            self.rig.sentinels[0].call("SENTINEL", "FAILOVER", *words)
        except redis.exceptions.ResponseError:
            # Too soon after the last one.
            return None

        def heal() -> None:
            self.rig.wait_for_another(former)

        all_partitions = frozenset(self.keys)
        return Trouble(0.0, heal, self.settled, promotes=loses, outlived=loses, partitions=all_partitions)

    def _kill_replica(self, draw: random.Random) -> Trouble:
        master = self.rig.master()
        return self._kill(draw, [server for server in self.rig.servers if server is not master])

    def _kill_sentinel(self, draw: random.Random) -> Trouble:
        return self._kill(draw, self.rig.sentinels)

    def _kill(self, draw: random.Random, processes: Sequence[TcpServer]) -> Trouble:
        victim = draw.choice(processes)
        victim.kill()
        return Trouble(draw.uniform(1, 4), lambda: victim.start() and None, self.settled)
