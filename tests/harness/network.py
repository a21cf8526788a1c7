"""Machines in miniature: network namespaces on a bridge, which can be cut off. Needs root and iproute2."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress

#: Addresses that nobody else uses: reserved for tests of networks (RFC 2544).
_PREFIX = "198.18"


def can_make_networks() -> bool:
    return os.geteuid() == 0 and shutil.which("ip") is not None


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, stdin=subprocess.DEVNULL)


class Host:
    """One machine."""

    def __init__(self, network: Network, number: int) -> None:
        self.name = f"{network.name}-{number}"
        self.address = f"{network.subnet}.{number + 10}"
        self._outside = f"{network.name}h{number}"
        #: What to begin a command with, so that it runs there.
        self.prefix = ("ip", "netns", "exec", self.name)
        inside = f"{network.name}i{number}"
        _ip("netns", "add", self.name)
        _ip("link", "add", self._outside, "type", "veth", "peer", "name", inside)
        _ip("link", "set", inside, "netns", self.name)
        _ip("link", "set", self._outside, "master", network.name, "up")
        _ip("-n", self.name, "address", "add", f"{self.address}/24", "dev", inside)
        _ip("-n", self.name, "link", "set", inside, "up")
        _ip("-n", self.name, "link", "set", "lo", "up")

    def cut_off(self) -> None:
        """Takes the cable out: nothing comes or goes, and nobody is told."""
        _ip("link", "set", self._outside, "down")

    def plug_in(self) -> None:
        """Puts the cable back."""
        _ip("link", "set", self._outside, "up")

    def drop_towards(self, *others: Host) -> None:
        """Throws away what is sent to some other machines, and only to those."""
        for other in others:
            _ip("-n", self.name, "route", "add", "blackhole", other.address)

    def reach_again(self, *others: Host) -> None:
        """Ends `drop_towards`."""
        for other in others:
            _ip("-n", self.name, "route", "del", "blackhole", other.address)

    def close(self) -> None:
        for words in (("link", "del", self._outside), ("netns", "del", self.name)):
            with suppress(subprocess.CalledProcessError):
                _ip(*words)


class Network:
    """A bridge, on which this process is one machine, and others."""

    def __init__(self, hosts: int) -> None:
        number = os.getpid() % 250
        self.name = f"fj{os.getpid() % 100_000}"
        self.subnet = f"{_PREFIX}.{number}"
        #: The address of this process.
        self.address = f"{self.subnet}.1"
        self._number = hosts
        self.hosts: list[Host] = []

    def __enter__(self) -> Network:
        try:
            _ip("link", "add", self.name, "type", "bridge")
            _ip("address", "add", f"{self.address}/24", "dev", self.name)
            _ip("link", "set", self.name, "up")
            for _ in range(self._number):
                self.add()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self) -> Host:
        """Adds one more machine."""
        self.hosts.append(Host(self, len(self.hosts)))
        return self.hosts[-1]

    def close(self) -> None:
        for host in self.hosts:
            host.close()
        with suppress(subprocess.CalledProcessError):
            _ip("link", "del", self.name)
