"""Several servers: on machines of their own where networks can be made, else on loopback and never cut off."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Sequence

from tests.chaos.topologies.base import Topology
from tests.harness.network import Host, Network, can_make_networks
from tests.harness.tcp_server import Rig


class Cable:
    """The line of a client on a machine of its own."""

    harmable = True

    def __init__(self, url: str, host: Host) -> None:
        self.url = url
        self.prefix = host.prefix
        self.harmed = False
        self._host = host

    def harm(self, draw: random.Random) -> str:
        self.harmed = True
        self._host.cut_off()
        return "cable out"

    def heal(self) -> None:
        self._host.plug_in()
        self.harmed = False


class Loopback:
    """The line of a client beside the servers: nothing can be done to it."""

    prefix = ()
    harmable = False
    harmed = False

    def __init__(self, url: str) -> None:
        self.url = url

    def harm(self, draw: random.Random) -> str:
        raise AssertionError("this line cannot be harmed")

    def heal(self) -> None: ...


class Machines(Topology):
    """What topologies of several servers share.

    Args:
        machines: how many the servers take.
    """

    rig: Rig

    def __init__(self, machines: int) -> None:
        super().__init__()
        self._number = machines
        self.network: Network | None = None

    def start(self) -> None:
        hosts: Sequence[Host] = ()
        if can_make_networks():
            self.network = Network(self._number).__enter__()
            hosts = list(self.network.hosts)
        self.rig = self.make_rig(hosts)
        self.rig.start()

    @abstractmethod
    def make_rig(self, hosts: Sequence[Host]) -> Rig:
        """Makes the servers, on these machines or, without any, on loopback."""

    def worker_line(self) -> Cable | Loopback:
        return Loopback(self.url) if self.network is None else Cable(self.url, self.network.add())

    def producers_line(self) -> Loopback:
        # This process is on none of the machines.
        return Loopback(self.url)

    def close(self) -> None:
        if hasattr(self, "rig"):
            self.rig.close()
        if self.network is not None:
            self.network.close()
